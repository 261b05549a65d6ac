"""The accuracy of CLIP with prompts, which has learned from none of the images."""

from typing import Any

import torch

from tgn.assess.accuracy import ZERO_SHOT, accuracy_of, class_groups
from tgn.assess.features import PARTS, TEST
from tgn.assess.settings import AssessSettings
from tgn.data.prompts import warn_of_numbers
from tgn.data.runs import Run
from tgn.models.feature_cache import FeatureCache
from tgn.models.zero_shot import NOT_TRAINED, load_zero_shot_of
from tgn.runtime.devices import Device
from tgn.runtime.progress import Progress
from tgn.runtime.settings import ComputeSettings


def zero_shot_accuracy(run: Run, settings: AssessSettings, progress: Progress) -> dict[str, Any]:
    """Return a row of the table of accuracies for a given CLIP; nothing without one.

    Training images count as left out: it has seen none of them.

    Raises:
        UserError: for an unknown architecture or weights that cannot be had.
    """
    if settings.clip is None:
        return {}
    split, classifier = run.split(), load_zero_shot_of(run, settings.clip)
    device = Device(ComputeSettings(device=settings.device, precision="float32"))
    if device.is_main:
        warn_of_numbers(split.names, progress)
    cache, groups = FeatureCache(run.feature_cache, device, progress), class_groups(split)
    known = [part for part in PARTS if getattr(split, part)]
    sets = {part: classifier.images(run, part) for part in (*known, TEST)}
    logits = {part: classifier.logits(images, cache) for part, images in sets.items()}
    scores = torch.cat([logits[part] for part in known])
    labels = torch.cat([sets[part].labels for part in known])
    return {
        ZERO_SHOT: {
            "left_out": accuracy_of(scores, labels, groups),
            "test": accuracy_of(logits[TEST], sets[TEST].labels, groups),
            "note": f"{NOT_TRAINED}: {settings.clip}",
        }
    }
