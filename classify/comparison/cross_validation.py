"""Judges that have not seen what they judge: one classifier for each part of the training data."""

from dataclasses import replace

from classify.training.job import Lesson
from classify.training.settings import TrainSettings
from classify.training.train import train_classifier
from tgn.data.runs import Run
from tgn.data.splits.folds import Folds, make_folds, write_folds
from tgn.runtime.errors import DataError
from tgn.runtime.progress import Progress


def train_folds(
    run: Run, lesson: Lesson, count: int, settings: TrainSettings, progress: Progress
) -> Folds:
    """Train ``count`` classifiers, number k without part k of the training images.

    A generated image is then judged by the one that has not seen its source (``tgn score``).

    Args:
        run: whose training images are dealt out, class by class.
        lesson: its directory gets ``fold-<k>/`` and, as the sign of the end, ``folds.json``.
        count: at least 2.
        settings: of every training.
        progress: told of every training.

    Raises:
        DataError: if a class has a single training image: a net could not know it.
    """
    split = run.split()
    if lonely := [entry.folder for entry in split.classes if entry.train < 2]:
        raise DataError(
            f"folds need 2 training images in every class; {', '.join(lonely)} has fewer"
        )
    files, labels = zip(*split.train, strict=True)
    folds = make_folds(files, labels, count, settings.seed)
    for fold in range(count):
        left_out = frozenset(file for file, k in folds.fold_of.items() if k == fold)
        directory = folds.directory(lesson.directory, fold)
        train_classifier(
            run, replace(lesson, directory=directory, left_out=left_out), settings, progress
        )
    write_folds(lesson.directory, folds)
    return folds
