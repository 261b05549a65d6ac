"""The frozen networks that the losses of a generator used, as its file names them."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter

from tgn.models.classifier_facts import read_facts
from tgn.models.pretrained import IMAGENET
from tgn.runtime.files import sha256_of

TRAINED_AGAINST = "trained_against"  # entry of the header of a generator's file
TAIL_NET = "tail net"


class TrainingNetwork(NamedTuple):
    """A frozen network that a loss used."""

    name: str
    sha256: str  # of the file of weights; "" where that is not known


_NETWORKS = TypeAdapter(tuple[TrainingNetwork, ...] | None)


def tail_net_networks(file: Path) -> list[TrainingNetwork]:
    """Return the tail net, and the weights that it started from where its file says so.

    A network that started from weights has features much like theirs, so that a judge with the
    same weights would be no independent one.

    Args:
        file: of the tail net.
    """
    return [TrainingNetwork(TAIL_NET, sha256_of(file)), *_start_of(file)]


def imagenet_network(arch: str) -> TrainingNetwork:
    """Return the ImageNet network of an installed package, as :data:`IMAGENET` names it."""
    entry = IMAGENET[arch]
    return TrainingNetwork(f"{entry.name} of {entry.package}", entry.sha256)


def _start_of(file: Path, behind: frozenset[Path] = frozenset()) -> list[TrainingNetwork]:
    """Return the networks that a file started from, those that they started from, and so on."""
    facts = read_facts(file)
    source = facts.started_from if facts else ""
    if not source or file.resolve() in behind:  # a file that names itself
        return []
    for entry in IMAGENET.values():
        if source == f"{entry.name} of {entry.package}":
            return [imagenet_network(entry.arch)]
    start = Path(source)
    if not start.is_file():
        return [TrainingNetwork(source, "")]
    known = TrainingNetwork(source, sha256_of(start))
    return [known, *_start_of(start, behind | {file.resolve()})]


def as_header(networks: Iterable[TrainingNetwork] | None) -> str:
    """Return the text of the header's entry; None: not known, of a generator of others."""
    known = None if networks is None else [network._asdict() for network in networks]
    return json.dumps(known, ensure_ascii=False)


def from_header(header: Mapping[str, str]) -> tuple[TrainingNetwork, ...] | None:
    """Return what :func:`as_header` wrote; of a file without the entry, tail net and an unknown.

    Args:
        header: of a generator's file.

    Returns:
        The networks; None where they are not known.

    Raises:
        ValueError: if the entry holds something else.
    """
    if TRAINED_AGAINST not in header:
        tail_net = header.get("tail_net_sha256")
        if not tail_net:
            return None
        others = TrainingNetwork("others, which older versions did not record", "")
        return (TrainingNetwork(TAIL_NET, tail_net), others)
    return _NETWORKS.validate_json(header[TRAINED_AGAINST])
