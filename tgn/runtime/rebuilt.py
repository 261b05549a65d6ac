"""Networks built again from what a file says of them, and filled with its weights."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from tgn.runtime.checkpoints import check_fit, load_strictly
from tgn.runtime.explanations import content_of, named

FACTS = "facts"  # entry of a header: JSON
REMEDY = "put it back from a copy, or name another"

FactsT = TypeVar("FactsT")
NetworkT = TypeVar("NetworkT", bound=nn.Module)


def facts_from(path: Path, header: Mapping[str, str], kind: type[FactsT]) -> FactsT:
    """Return what a file says of its network.

    Args:
        path: of the file.
        header: of :func:`tgn.runtime.checkpoints.read_metadata`.
        kind: of the facts, whose fields have types and ranges.

    Raises:
        DataError: if an entry is missing, unknown, of another type or out of range.
    """
    with content_of(path, REMEDY):
        return TypeAdapter(kind).validate_json(header.get(FACTS, ""))


def rebuilt(
    build: Callable[[], NetworkT],
    weights: Mapping[str, Tensor],
    source: str,
    part: Callable[[NetworkT], Any] = lambda network: network,
) -> NetworkT:
    """Build a network as a file describes it, if the weights of the file fit.

    That is found out without memory, so that a few bytes of facts cannot ask for gigabytes.

    Args:
        build: makes the network.
        weights: of the file.
        source: named in errors.
        part: of the network that the weights are of.

    Raises:
        UserError: for any missing, unknown or misshapen entry.
    """
    with named(source):
        with torch.device("meta"):
            check_fit(part(build()), weights, source)
        network = build()
    load_strictly(part(network), weights, source)
    return network
