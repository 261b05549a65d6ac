"""What the tests of several recipes share."""

from pathlib import Path
from typing import Any

import pytest

from classify.training.job import TrainingJob
from classify.training.settings import TrainSettings
from classify.training.train import train_classifier
from classify.training.trainer import ClassifierTrainer
from tgn.data.runs import Run
from tgn.runtime.files import sha256_of
from tgn.runtime.progress import Silent

SMALL = {
    "arch": "tiny",
    "steps": 2,
    "batch_size": 16,
    "size": 16,
    "device": "cpu",
    "precision": "float32",
}


def small_settings(**changes: object) -> TrainSettings:
    """Return settings of a tiny training."""
    return TrainSettings.model_validate({**SMALL, **changes})


def train_small(
    run: Run, name: str, teacher: Path | None = None, resume: bool = True, **changes: object
) -> dict[str, Any]:
    """Train the run's classifier ``name`` by such settings; return its metrics."""
    job = TrainingJob(run.classifiers / name, teacher=teacher, resume=resume)
    return train_classifier(run, job, small_settings(**changes), Silent())


def assert_a_stopped_training_goes_on_exactly(
    run: Run, chosen: TrainSettings, stop: int, augmented: Path | None = None
) -> None:
    """Compare a whole training with one that was interrupted and resumed.

    Args:
        run: to train on.
        chosen: with ``save_every=1``.
        stop: the training step, counted from 1 over all phases, that is interrupted.
        augmented: folder of generated images, or None.
    """
    real, calls = ClassifierTrainer.train_step, []

    def stops(self, step):
        calls.append(step)
        if len(calls) == stop:
            raise KeyboardInterrupt
        return real(self, step)

    folder = run.path / "classify"
    whole, parts = (TrainingJob(folder / name, augmented) for name in ("whole", "parts"))
    train_classifier(run, whole, chosen, Silent())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClassifierTrainer, "train_step", stops)
        with pytest.raises(KeyboardInterrupt):
            train_classifier(run, parts, chosen, Silent())
    train_classifier(run, parts, chosen, Silent())
    files = [job.directory / "classifier.safetensors" for job in (whole, parts)]
    assert sha256_of(files[0]) == sha256_of(files[1])
