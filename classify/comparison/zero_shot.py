"""The recipe ``clip-zero-shot``: CLIP's accuracy on the test images, without any training."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from classify.comparison.settings import ZeroShotSettings
from classify.evaluation.evaluate import evaluate_logits
from classify.training.recipes import ZERO_SHOT, recipe
from classify.training.written import write_trained
from tgn.data.made_from import SPLIT, split_sha256
from tgn.data.prompts import read_prompts, warn_of_numbers
from tgn.data.runs import Run
from tgn.models.feature_cache import FeatureCache
from tgn.models.zero_shot import NOT_TRAINED, load_zero_shot_of
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.files import sha256_of
from tgn.runtime.progress import Progress
from tgn.runtime.settings import ComputeSettings


def check_clip(names: Sequence[str], clip: str | None) -> None:
    """Refuse a comparison that lacks the CLIP that a recipe needs, or has one for no recipe.

    Args:
        names: of checked recipes.
        clip: ``ARCH:FILE`` or ``ARCH:TAG``, or None.
    """
    is_needed = any(recipe(name).zero_shot for name in names)
    if is_needed and clip is None:
        raise UserError(f"recipe {ZERO_SHOT} got no CLIP; add --set clip=ARCH:/path/to/file")
    if clip is not None and not is_needed:
        raise UserError(f"clip got no recipe that uses it; add {ZERO_SHOT} to --recipes")


def zero_shot_record(run: Run, clip: str) -> dict[str, Any]:
    """Return what decides a zero-shot result."""
    split = run.split()
    prompts = json.dumps(list(read_prompts(run.prompts_file, split)))
    file = Path(clip.partition(":")[2])
    return {
        "settings": {},
        "clip": clip,
        "clip_sha256": sha256_of(file) if file.is_file() else "",
        "prompts_sha256": hashlib.sha256(prompts.encode()).hexdigest(),
        "generated": "",
        SPLIT: split_sha256(split),
    }


def evaluate_zero_shot(
    run: Run, directory: Path, settings: ZeroShotSettings, progress: Progress
) -> dict[str, Any]:
    """Test a CLIP with the prompts of the run's classes; return the content of ``metrics.json``.

    Raises:
        UserError: for an unknown architecture or weights that cannot be had.
    """
    device = Device(ComputeSettings(device=settings.device, precision="float32"))
    classifier = load_zero_shot_of(run, settings.clip)
    if device.is_main:
        warn_of_numbers(run.split().names, progress)
    test = classifier.images(run, "test")
    logits = classifier.logits(test, FeatureCache(run.feature_cache, device, progress))
    provenance = classifier.extractor.provenance.model_copy(update={"seen": NOT_TRAINED})
    result = {
        **evaluate_logits([(logits, test.labels)], run.split()),
        "network": provenance.model_dump(mode="json"),
    }
    if device.is_main:
        write_trained(directory, None, result, settings)
    device.wait()
    return result
