"""The learning rate of each step of a detector's training, as numbers and in words."""

from collections.abc import Iterator

from classify.detection.settings.schedule import ScheduleSettings
from tgn.runtime.lr_schedule import half_cosine


def learning_rate(settings: ScheduleSettings, step: int) -> float:
    """Return the learning rate of a step.

    Args:
        settings: with their number of steps, see :meth:`ScheduleSettings.of_length`.
        step: from 0.
    """
    rise = settings.warmup_length
    factor = _factor(settings, step, rise)
    if step < rise:
        factor *= settings.warmup_factor + (1 - settings.warmup_factor) * step / rise
    return settings.lr * factor


def _factor(settings: ScheduleSettings, step: int, rise: int) -> float:
    """Return the factor of the rate that the warm-up is not."""
    if settings.lr_schedule == "cosine":
        return half_cosine(max(step - rise, 0), max(settings.steps - rise, 1))
    if settings.lr_schedule == "milestones":
        passed = sum(step >= one * settings.steps_per_epoch for one in settings.milestones)
        return settings.decay**passed
    return 1.0


def schedule_in_words(settings: ScheduleSettings, num_images: int) -> str:
    """Say how long a training is and how its learning rate goes.

    Args:
        settings: with their number of steps.
        num_images: images or tiles that are trained on.
    """
    length = f"{settings.steps} steps of {settings.images_per_step} images"
    if settings.accumulation > 1:
        length += f" in {settings.accumulation} batches of {settings.batch_size}"
    if settings.epochs is not None:
        length += f" ({settings.epochs} epochs of {settings.steps_per_epoch} steps)"
    else:
        length += f" ({settings.steps * settings.images_per_step / num_images:.1f} epochs)"
    return f"{length}; learning rate {', '.join(_rates_in_words(settings))}"


def _rates_in_words(settings: ScheduleSettings) -> Iterator[str]:
    if rise := settings.warmup_length:
        yield f"from {learning_rate(settings, 0):.3g} to {settings.lr:.3g} in {rise} steps"
    else:
        yield f"{settings.lr:.3g}"
    if settings.lr_schedule == "cosine":
        yield "then down to 0 along half a cosine"
    for one in settings.milestones:
        step = one * settings.steps_per_epoch
        after = f"epoch {one}, step {step}" if settings.epochs else f"step {step}"
        yield f"{learning_rate(settings, step):.3g} after {after}"
