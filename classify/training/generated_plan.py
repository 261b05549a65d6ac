"""How a training would use its generated images, in words."""

import torch
from torch import Tensor

from classify.training.class_frequencies import ClassFrequencies, use_of
from classify.training.job import TrainingJob, images_of
from classify.training.settings import TrainSettings
from classify.training.uses.names import PLACES
from tgn.data.runs import Run


def use_of_generated(run: Run, job: TrainingJob, settings: TrainSettings) -> str:
    """Return one sentence on the shares of generated images; "" where there are none to mix.

    Raises:
        DataError: if there are no generated images where some were asked for.
    """
    images, split = images_of(job, run, settings), run.split()
    if images.mixed_in is None:
        return ""
    real, generated = (
        one.labels.bincount(minlength=split.num_classes)
        for one in (images.main, images.mixed_in.images)
    )
    use = use_of(settings, split.num_head)
    shares = ClassFrequencies(real, generated, settings.sampling, use).at(0.0).generated
    classes = generated.nonzero().flatten().tolist()
    numbers = [int(generated[k]) for k in classes]
    least, most = (
        f"{float(shares[k]):.0%} ({split.classes[k].folder})"
        for k in (min(classes, key=shares.__getitem__), max(classes, key=shares.__getitem__))
    )
    rule = ", none more often than a real image of the class"
    return (
        f"generated images of {len(classes)} classes, {min(numbers)} to {max(numbers)} each, have "
        f"{least} to {most} of {PLACES[use.kind]} of their class in the first {use.until:.0%} of "
        f"the steps{'' if use.kind == 'first' else rule}; then real images only"
        f"{_on_missing(generated) if use.kind == 'first' else ''}"
    )


def _on_missing(generated: Tensor) -> str:
    """Warn of classes that have real images where the others have generated ones alone."""
    missing = int(torch.count_nonzero(generated == 0))
    if not missing:
        return ""
    return (
        f"; warning: {missing} classes have no generated images and are learned from real ones "
        "throughout, so that real and generated tell classes apart; make some of every class with: "
        "tgn generate --class every"
    )
