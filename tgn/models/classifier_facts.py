"""What the file of a classifier says of its network."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError

from tgn.data.sample_range import SampleRange
from tgn.runtime.checkpoints import read_metadata
from tgn.runtime.errors import UserError

FORMAT = "tgn-classifier-1"


@dataclass(frozen=True)
class ClassifierFacts:
    """What a checkpoint must say for its network to be built again."""

    arch: str
    size: int
    bands: int
    small_stem: bool
    folders: tuple[str, ...]  # class folders in the order of the logits
    mean: tuple[float, ...]  # of pixels in [0, 1], as the weights expect
    std: tuple[float, ...]
    cosine_scale: float = 0.0  # > 0: logits are this times the cosine of embedding and weight
    probe_parts: tuple[int, ...] = ()  # of a probe: how many features each part of its input has
    test_symmetries: int = 1  # views of an image whose mean logits are the classifier's
    adapter_size: int = 0  # > 0: a transformer with adapters of that width in its blocks
    started_from: str = ""  # the weights it began with, in words; "" for random ones
    sample_range: SampleRange | None = None  # of the 16-bit and float images that it has seen

    __pydantic_config__ = ConfigDict(extra="forbid")


def read_facts(path: Path) -> ClassifierFacts | None:
    """Return what a file of weights says of its network, or None if it is not one of ours.

    Raises:
        UserError: if it says so, but not what is needed.
    """
    metadata = read_metadata(path) if path.suffix == ".safetensors" else {}
    if metadata.get("format") != FORMAT:
        return None
    try:
        return TypeAdapter(ClassifierFacts).validate_json(metadata.get("facts", ""))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in error.errors()
        )
        raise UserError(
            f"{path} does not describe its network ({problems}); expected a file of classify train"
        ) from None
