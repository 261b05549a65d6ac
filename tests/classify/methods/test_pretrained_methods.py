"""Every method of distillation goes from pretrained teachers to pretrained students."""

import json
import math

import pytest
from PIL import Image

from classify.training.job import TrainingJob
from classify.training.settings import TrainSettings
from classify.training.train import train_classifier
from tgn.models.backbones import build_backbone, load_classifier, save_classifier
from tgn.runtime.progress import Silent

LITE = "tf_efficientnet_lite0"
SMALL = {
    "arch": LITE,
    "steps": 2,
    "batch_size": 8,
    "size": 32,
    "device": "cpu",
    "precision": "float32",
    "log_every": 1,
    "num_validations": 1,
}
METHODS = ("logit-kd", "feature-mse", "kmdn", "t2fts", "lsh", "cross-modality")


def in_grey(run):
    """Write the run's images without colour, as another sensor's; return their folder."""
    split, folder = run.split(), run.path.parent.parent / "grey"
    for file, _ in (*split.train, *split.val, *split.test):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        with Image.open(run.path / split.root / file) as image:
            image.convert("L").save(folder / file)
    return folder


@pytest.mark.parametrize("method", METHODS)
def test_pretrained_students_and_teachers(fake_run, method):
    settings = TrainSettings.model_validate({**SMALL, "method": method})
    folders = tuple(entry.folder for entry in fake_run.split().classes)
    files = [fake_run.path / "kmdn" / f"{name}.safetensors" for name in ("head", "tail")]
    for file in files:
        save_classifier(file, build_backbone(settings, folders))
    if method == "cross-modality":
        pairing = {"cross_modality": {"paired": str(in_grey(fake_run))}}
        settings = settings.with_changes(pairing)
    directory = fake_run.path / "classify" / method
    job = TrainingJob(directory, teacher=None if method == "cross-modality" else files[0])
    result = train_classifier(fake_run, job, settings, Silent())
    facts = load_classifier(directory / "classifier.safetensors").facts
    assert (facts.arch, facts.size) == (LITE, 32)
    assert math.isfinite(result["balanced"])
    lines = (directory / "metrics.jsonl").read_text().splitlines()
    terms = [json.loads(line) for line in lines]
    assert all(math.isfinite(value) for line in terms for value in line.values())
    if method in ("feature-mse", "kmdn", "t2fts"):
        distances = [v for line in terms for name, v in line.items() if "distance" in name]
        assert distances
        assert 0 < max(distances) < 4  # their MSE would be 15 to 30
