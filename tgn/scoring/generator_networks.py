"""Which networks the generator of a folder was trained against."""

import json
from collections.abc import Sequence
from pathlib import Path

from tgn.data.made_from import generators
from tgn.data.manifest import ManifestRow
from tgn.data.runs import Run
from tgn.models.provenance import Provenance
from tgn.models.training_networks import TrainingNetwork, from_header
from tgn.runtime.checkpoints import read_metadata
from tgn.runtime.explanations import content_of
from tgn.runtime.files import sha256_of


def networks_behind(run: Run, rows: Sequence[ManifestRow]) -> tuple[TrainingNetwork, ...] | None:
    """Return the frozen networks that the losses of the images' generators used.

    A CLIP whose gradient guided the sampling of diffusion counts, too.

    Args:
        run: whose generators may have made them.
        rows: of the images.

    Returns:
        The networks; None for images of a generator that is not (or no longer) in the run.
    """
    known = _generators(run)
    found: list[TrainingNetwork] = []
    for sha256 in {row.weights_sha256 for row in rows}:
        networks = known.get(sha256)
        if networks is None:
            return None
        found += networks
    for how in {row.how for row in rows}:
        found += _guides(how)
    return tuple(dict.fromkeys(found))


def networks_of_run(run: Run) -> tuple[TrainingNetwork, ...]:
    """Return the frozen networks in the losses of any generator of a run, where they are known."""
    known = (networks or () for networks in _generators(run).values())
    return tuple(dict.fromkeys(one for networks in known for one in networks))


def _guides(how: str) -> list[TrainingNetwork]:
    """Return the CLIP that guided sampling with these settings of a backend, given as JSON."""
    settings = json.loads(how or "{}")
    if not settings.get("clip_guidance"):
        return []
    clip = str(settings.get("clip"))
    file = Path(clip.partition(":")[2])
    sha256 = sha256_of(file) if file.is_file() else ""
    return [TrainingNetwork(f"CLIP {clip}", sha256)]


def _generators(run: Run) -> dict[str, tuple[TrainingNetwork, ...] | None]:
    """Return SHA-256 of each generator's file of the run -> the networks in its losses."""
    known: dict[str, tuple[TrainingNetwork, ...] | None] = {}
    for sha256, file in generators(run).items():
        if file == run.pretrained_record:  # a denoiser tuned by its own loss alone
            known[sha256] = ()
            continue
        with content_of(file):
            known[sha256] = from_header(read_metadata(file))
    return known


def marked(provenance: Provenance, networks: Sequence[TrainingNetwork] | None) -> Provenance:
    """Return the provenance of a network with whether the generator was trained against it.

    Args:
        provenance: of a network that scores.
        networks: of :func:`networks_behind`.
    """
    if networks is None:
        return provenance
    hashes = {network.sha256 for network in networks}
    against = not hashes.isdisjoint(provenance.weights_sha256.split())
    if not against and "" in hashes:  # it may be the one whose weights are not known
        return provenance
    return provenance.model_copy(update={"trained_against": against})
