"""What the tests of all generators share."""

from collections.abc import Callable
from pathlib import Path

from tests_support import BARELY, QUICK

from tgn.backends import generate
from tgn.data.manifest import ManifestRow, read_manifest
from tgn.data.runs import Run
from tgn.generation.generate import GenerationRequest
from tgn.generation.settings import GenerateSettings
from tgn.kmdn.distill import distill
from tgn.kmdn.settings import DistillSettings
from tgn.runtime.files import sha256_of
from tgn.runtime.progress import Silent


def distill_anew(run: Run) -> None:
    """Make another tail net and feature bank."""
    chosen = DistillSettings.model_validate({**BARELY, **QUICK, "seed": 1})
    distill(run, chosen, Silent(), resume=False)


def generate_tail(
    run: Run,
    out: Path,
    settings: GenerateSettings,
    classes: tuple[int, ...] | None = None,
    resume: bool = True,
) -> dict[str, int]:
    """Generate images of some tail classes, else of all, with the generator trained last."""
    chosen = tuple(run.split().tail_classes) if classes is None else classes
    return generate(run, GenerationRequest(chosen, out, settings), Silent(), resume)


def assert_order_does_not_matter(
    generated: Callable[..., object], run: Run, folder: Path, n: int
) -> list[ManifestRow]:
    """Compare images generated at once with those of two calls; return their rows.

    Args:
        generated: called with run, folder, images a class and classes.
        run: with a trained generator.
        folder: gets ``a`` and ``b``.
        n: images a class, > 1.
    """
    tail = tuple(run.split().tail_classes)
    generated(run, folder / "a", n, tail)
    generated(run, folder / "b", n // 2, tail[1:])
    generated(run, folder / "b", n, tail[::-1])
    first, second = (list(read_manifest(folder / name)) for name in "ab")
    assert first == second
    assert len(first) == n * len(tail)
    for row in first:
        assert sha256_of(folder / "a" / row.file) == row.sha256
        assert sha256_of(folder / "b" / row.file) == row.sha256
    return first
