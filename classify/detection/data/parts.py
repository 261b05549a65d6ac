"""The parts of a training's data: what is learned from, chosen by and tested on."""

from typing import NamedTuple

from classify.detection.data.dataset import (
    DetectionDataset,
    cut_into_tiles,
    keep_empty_share,
    split_dataset,
)
from classify.detection.settings.detector import DetectSettings
from tgn.runtime.errors import DataError, UserError


class Parts(NamedTuple):
    """Whole images of each part, all with the same classes."""

    train: DetectionDataset
    test: DetectionDataset
    validation: DetectionDataset | None = None  # None: the last weights are taken


def with_validation(parts: Parts, settings: DetectSettings) -> Parts:
    """Hold validation images out of the training part if the settings say so.

    Raises:
        DataError: if no object is annotated in the training or the validation part.
        UserError: for settings that nothing reads, or two validation parts.
    """
    train, test, validation = parts
    if settings.validation_share:
        if validation is not None:
            raise UserError("got validation_share and a validation part (--validation); take one")
        train, validation = split_dataset(train, settings.validation_share, settings.split_seed)
    if all(image.is_empty for image in train.images):
        raise DataError("no labelled object among the training images: nothing to learn")
    if validation is None:
        for name in settings.names_that_need_validation():
            raise UserError(
                f"{name} has no effect without a validation part; set validation_share, or give "
                "one: --validation"
            )
    elif all(bool((image.crowd | image.difficult).all()) for image in validation.images):
        raise DataError("no labelled object among the validation images: nothing to choose by")
    return Parts(train, test, validation)


def images_to_learn(
    train: DetectionDataset, settings: DetectSettings
) -> tuple[DetectionDataset, str]:
    """Return the images, or tiles, that are trained on, and a sentence about them."""
    tiles = cut_into_tiles(train, settings.tile_size, settings.tile_overlap)
    kept, num_empty = keep_empty_share(tiles, settings.empty_share, settings.seed)
    left_out = len(tiles.images) - len(kept.images)
    what = "tiles" if settings.tile_size else "images"
    in_words = f"{len(kept.images)} {what} are trained on"
    if num_empty:
        in_words += (
            f"; {left_out} of the {num_empty} without objects are left out "
            f"(empty_share={settings.empty_share:g})"
        )
    return kept, in_words


def validation_in_words(parts: Parts, settings: DetectSettings) -> str:
    """Say what the weights are chosen by; the settings have their number of steps."""
    if parts.validation is None:
        return "no validation part: the last weights are taken"
    in_words = (
        f"{len(parts.validation.images)} validation images are looked at every "
        f"{settings.steps_per_look} steps, the weights with the best AP50 are kept"
    )
    if settings.patience is not None:
        in_words += f", {settings.patience} looks without a gain end the training"
    return in_words
