"""Classifiers of float images: they carry the range of their set, and new images are read by it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from classify.api import load_classifier as open_classifier
from classify.evaluation.predict import predict
from classify.multilabel.train import MultiLabelJob, train_multi_label
from classify.training.job import TrainingJob
from classify.training.layout import CHECKPOINT
from classify.training.paired_images import paired_set
from classify.training.settings import TrainSettings
from classify.training.train import train_classifier
from tgn.data.splits.make_split import split_run
from tgn.data.splits.settings import SplitSettings
from tgn.models.backbones import load_classifier
from tgn.runtime.devices import Device
from tgn.runtime.errors import DataError, UserError
from tgn.runtime.progress import Silent
from tgn.runtime.settings import ComputeSettings

TINY = {"arch": "tiny", "batch_size": 16, "size": 16, "device": "cpu", "precision": "float32"}


def write_decibels(folder: Path, count: int = 12) -> None:
    """Draw two classes of flat dB images that differ in brightness alone."""
    draw = np.random.default_rng(0)
    for label, name in enumerate(("field", "town")):
        (folder / name).mkdir(parents=True)
        for i in range(count - 2 * label):
            values = draw.normal(-20 + 12 * label, 1, (16, 16)).astype(np.float32)
            Image.fromarray(values).save(folder / name / f"{i}.tif")


@pytest.fixture
def radar(in_tmp):
    write_decibels(in_tmp / "data")
    return split_run(in_tmp / "data", "radar", SplitSettings(val_fraction=0), Silent())[0]


def test_predictions_are_made_in_the_range_of_the_training(radar, in_tmp):
    train_classifier(
        radar, TrainingJob(radar.path / "c"), TrainSettings(steps=30, **TINY), Silent()
    )
    file = radar.path / "c" / CHECKPOINT
    net = load_classifier(file)
    assert net.facts.sample_range == radar.split().sample_range
    for value, name in ((-20, "field"), (-8, "town")):
        flat = in_tmp / f"{name}.tif"  # of one value: a range of its own would show nothing
        Image.fromarray(np.full((16, 16), value, np.float32)).save(flat)
        (found,) = predict(net, [flat], Device(ComputeSettings(device="cpu")))
        assert found.classes[0][0] == name
        assert open_classifier(file, device="cpu").predict_names(flat) == [name]


def test_a_classifier_of_bytes_refuses_other_samples(fake_run, in_tmp):
    settings = TrainSettings(steps=1, **TINY)
    train_classifier(fake_run, TrainingJob(fake_run.path / "c"), settings, Silent())
    net = load_classifier(fake_run.path / "c" / CHECKPOINT)
    assert net.facts.sample_range is None
    Image.fromarray(np.zeros((16, 16), np.uint16)).save(in_tmp / "x.png")
    with pytest.raises(DataError, match=r"x\.png: has uint16 samples, and no range"):
        list(predict(net, [in_tmp / "x.png"], Device(ComputeSettings(device="cpu"))))


def test_a_teacher_of_another_range_is_refused(radar, in_tmp):
    settings = TrainSettings(steps=1, **TINY)
    train_classifier(radar, TrainingJob(radar.path / "c"), settings, Silent())
    given = SplitSettings(val_fraction=0, range="sentinel-1")
    other = split_run(in_tmp / "data", "other", given, Silent())[0]
    job = TrainingJob(other.path / "c", teacher=radar.path / "c" / CHECKPOINT)
    with pytest.raises(UserError, match="train one on this run"):
        train_classifier(other, job, TrainSettings(steps=1, method="logit-kd", **TINY), Silent())


def test_the_other_sensor_has_a_range_of_its_own(radar, in_tmp):
    write_decibels(in_tmp / "other")
    for file in (in_tmp / "other").rglob("*.tif"):
        values = np.asarray(Image.open(file)) * 100
        Image.fromarray(values).save(file)
    found = paired_set(radar.split(), "test", radar.path, in_tmp / "other", 16, 1)
    ((low, high),) = found.sample_range
    assert (low, high) == (pytest.approx(-2200, abs=100), pytest.approx(-600, abs=100))
    assert found.batch(torch.arange(len(found))).float().std() > 50


def test_several_labels_are_learned_in_one_range_too(in_tmp):
    write_decibels(in_tmp / "data")
    rows = ["file,part,labels"]
    for file in sorted((in_tmp / "data").rglob("*.tif")):
        part = "test" if file.stem in ("0", "1") else "train"
        rows.append(f"data/{file.parent.name}/{file.name},{part},{file.parent.name}")
    (in_tmp / "labels.csv").write_text("\n".join(rows) + "\n")
    job = MultiLabelJob(in_tmp / "labels.csv", in_tmp / "c")
    result = train_multi_label(job, TrainSettings(steps=30, **TINY), Silent())
    assert result["mAP"] == 1
    assert load_classifier(in_tmp / "c" / CHECKPOINT).facts.sample_range is not None
