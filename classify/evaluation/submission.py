"""Predictions as a table of ids and classes, the form in which contests take results."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import torch

from classify.evaluation.predict import Prediction
from classify.evaluation.prior_shift import capped_assignment
from tgn.data.sensor_pairs import id_of
from tgn.runtime.errors import UserError

HEADER = ("image_id", "class_id")


def submission_rows(
    predictions: Iterable[Prediction], folders: Sequence[str], caps: Mapping[int, int] | None
) -> Iterator[tuple[str, str]]:
    """Yield id and class folder of each image; the id is its name without suffix and sensor.

    Args:
        predictions: with all classes of each image if there are caps.
        folders: class folders, in the order of the classes.
        caps: most images of a class, by class index; all images are then held until the end.

    Raises:
        UserError: if two images have one id.
    """
    seen: set[str] = set()
    for file, folder in _assigned(predictions, folders, caps):
        name = id_of(file.stem)
        if name in seen:
            raise UserError(f"two images have the id {name} ({file} is one); give one sensor only")
        seen.add(name)
        yield name, folder


def _assigned(
    predictions: Iterable[Prediction], folders: Sequence[str], caps: Mapping[int, int] | None
) -> Iterator[tuple[Path, str]]:
    if caps is None:
        yield from ((file, classes[0][0]) for file, classes in predictions)
        return
    known = [(file, dict(classes)) for file, classes in predictions]
    if known:
        rows = [[chances[folder] for folder in folders] for _, chances in known]
        assigned = capped_assignment(torch.tensor(rows), caps)
        yield from ((file, folders[k]) for (file, _), k in zip(known, assigned, strict=True))
