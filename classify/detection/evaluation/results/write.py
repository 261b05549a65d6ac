"""The files of detections that a command was asked for, opened before any work, whole or absent."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from classify.detection.average_precision import Detections
from classify.detection.evaluation.results.formats import (
    CocoImagesWriter,
    CocoWriter,
    CsvWriter,
    SubmissionWriter,
    Writer,
)
from tgn.data.annotations.coco import CocoIds
from tgn.runtime.errors import UserError
from tgn.runtime.files import atomic_path


@dataclass(frozen=True)
class ResultTargets:
    """Where detections go; None: not in that form."""

    csv: Path | None = None
    coco: Path | None = None
    submission: Path | None = None  # a folder

    @property
    def all(self) -> list[Path]:
        """Return the files and folders that are written."""
        return [one for one in (self.csv, self.coco, self.submission) if one is not None]


class Source(NamedTuple):
    """What is detected in."""

    root: Path  # folder of the images
    images: Sequence[Path]
    classes: Sequence[str]  # of the detector
    is_rotated: bool
    ids: CocoIds | None = None  # of the COCO labels, if there are any


class ResultFiles:
    """Takes the detections of one image after another for every form that was asked for."""

    def __init__(self, writers: Sequence[Writer]) -> None:
        self.writers = writers

    def add(self, path: Path, detections: Detections) -> None:
        """Write the detections of an image file."""
        for writer in self.writers:
            writer.add(path, detections)


def numbered(images: Sequence[Path], classes: Sequence[str]) -> CocoIds:
    """Return ids from 1, of images and classes in their order."""
    return CocoIds(
        {path: number for number, path in enumerate(images, start=1)},
        {name.casefold(): number for number, name in enumerate(classes, start=1)},
    )


@contextmanager
def result_files(targets: ResultTargets, source: Source) -> Iterator[ResultFiles]:
    """Open the files; they get their names when the block has ended without an error.

    Raises:
        UserError: for a DOTA submission, if two images have one name: the server knows them by
            their names alone.
        OSError: if one cannot be written.
    """
    if targets.submission is not None:
        _check_names(source.images)
    with ExitStack() as stack:
        writers: list[Writer] = []
        if targets.csv is not None:
            file = stack.enter_context(atomic_path(targets.csv))
            writers.append(CsvWriter(file, source.classes, source.root, source.is_rotated))
        if targets.coco is not None:
            file = stack.enter_context(atomic_path(targets.coco))
            ids = source.ids or numbered(source.images, source.classes)
            writers.append(CocoWriter(file, source.classes, *ids))
            if source.ids is None:
                file = stack.enter_context(atomic_path(images_file(targets.coco)))
                writers.append(CocoImagesWriter(file, source.classes, source.root, *ids))
        if targets.submission is not None:
            paths = submission_paths(targets.submission, source.classes, source.is_rotated)
            files = [stack.enter_context(atomic_path(path)) for path in paths]
            writers.append(SubmissionWriter(files))
        yield ResultFiles(writers)
        for writer in writers:
            writer.end()


def images_file(results: Path) -> Path:
    """Return the list of images of COCO results that refer to no labels."""
    return results.with_suffix(".images.json")


def submission_paths(folder: Path, classes: Sequence[str], is_rotated: bool) -> list[Path]:
    """Return the file of each class: ``Task1_<class>.txt``, or ``Task2_`` for upright boxes."""
    task = "Task1" if is_rotated else "Task2"
    return [folder / f"{task}_{name}.txt" for name in classes]


def _check_names(images: Sequence[Path]) -> None:
    stems = Counter(path.stem for path in images)
    if repeated := [stem for stem, count in stems.items() if count > 1]:
        raise UserError(
            f"several images are called {repeated[0]} ({len(repeated)} such names); rename them: a "
            "submission tells images by their names alone"
        )
