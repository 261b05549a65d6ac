"""Cross-validated classifiers: each is trained without one part of the training data."""

from dataclasses import replace

from classify.training.job import TrainingJob
from classify.training.settings import TrainSettings
from classify.training.train import train_classifier
from tgn.data.runs import Run
from tgn.data.splits.folds import Folds, make_folds, write_folds
from tgn.runtime.errors import DataError
from tgn.runtime.progress import Progress


def train_folds(
    run: Run, job: TrainingJob, count: int, settings: TrainSettings, progress: Progress
) -> Folds:
    """Train ``count`` classifiers, number k without part k of the training images.

    ``tgn score`` then classifies a generated image by the one that was not trained on its source.

    Args:
        run: its training images are divided into parts, class by class.
        job: its directory gets ``fold-<k>/`` and, as the sign of the end, ``folds.json``.
        count: at least 2.
        settings: of every training.
        progress: shows every training.

    Raises:
        DataError: if a class has a single training image, as a fold would have none.
    """
    split = run.split()
    if too_small := [entry.folder for entry in split.classes if entry.train < 2]:
        raise DataError(
            f"folds need 2 training images in every class; {', '.join(too_small)} has fewer"
        )
    files, labels = zip(*split.train, strict=True)
    folds = make_folds(files, labels, count, settings.seed, split.groups)
    for fold in range(count):
        left_out = frozenset(file for file, k in folds.fold_of.items() if k == fold)
        directory = folds.directory(job.directory, fold)
        train_classifier(
            run, replace(job, directory=directory, left_out=left_out), settings, progress
        )
    write_folds(job.directory, folds)
    return folds
