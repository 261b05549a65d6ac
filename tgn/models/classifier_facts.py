"""What the file of a classifier says of its network."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field

from tgn.data.sample_range import SampleRange
from tgn.models.settings import ArchName
from tgn.runtime.bounds import LARGEST_SIDE, Bands, Symmetries
from tgn.runtime.checkpoints import read_metadata
from tgn.runtime.explanations import content_of
from tgn.runtime.names import InnerPath
from tgn.runtime.rebuilt import REMEDY, facts_from

FORMAT = "tgn-classifier-1"


@dataclass(frozen=True)
class ClassifierFacts:
    """What a checkpoint must say for its network to be built again."""

    arch: ArchName
    size: Annotated[int, Field(ge=1, le=LARGEST_SIDE)]
    bands: Bands
    small_stem: bool
    # Class folders in the order of the logits:
    folders: Annotated[tuple[InnerPath, ...], Field(min_length=1, max_length=100_000)]
    mean: tuple[float, ...]  # of pixels in [0, 1], as the weights expect
    std: tuple[Annotated[float, Field(gt=0)], ...]
    # > 0: logits are this times the cosine of embedding and weight
    cosine_scale: Annotated[float, Field(ge=0)] = 0.0
    # Of a probe: how many features each part of its input has
    probe_parts: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(max_length=5)] = ()
    test_symmetries: Symmetries = 1  # views of an image whose mean logits are the classifier's
    # > 0: a transformer with adapters of that width in its blocks
    adapter_size: Annotated[int, Field(ge=0, le=4096)] = 0
    started_from: str = ""  # the weights it began with, in words; "" for random ones
    sample_range: SampleRange | None = None  # of the 16-bit and float images that it has seen

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)


def read_facts(path: Path) -> ClassifierFacts | None:
    """Return what a file of weights says of its network, or None if it is not one of ours.

    Raises:
        DataError: if it says so, but not what is needed.
    """
    metadata = read_metadata(path) if path.suffix == ".safetensors" else {}
    if metadata.get("format") != FORMAT:
        return None
    facts = facts_from(path, metadata, ClassifierFacts)
    with content_of(path, REMEDY):
        _require_consistent(facts)
    return facts


def _require_consistent(facts: ClassifierFacts) -> None:
    if not len(facts.mean) == len(facts.std) == facts.bands:
        raise ValueError(f"mean and std are not of {facts.bands} bands")
    if len(set(facts.folders)) < len(facts.folders):
        raise ValueError("a class folder comes twice")
    known = facts.sample_range
    if known is not None and (len(known) not in (1, facts.bands) or any(a >= b for a, b in known)):
        raise ValueError(f"sample_range got {known!r:.80}, expected low < high, one or a band")
