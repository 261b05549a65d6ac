"""Training of clip=tiny: what it learns, exact resume, one file for one way of training."""

from pathlib import Path

import pytest
import torch
from tests_support import QUICK, Stops

from tgn.data.images import to_pm1
from tgn.data.prompts import prompts_of
from tgn.generation.cdtg import clip_tiny
from tgn.generation.cdtg.clip_tiny import ClipTrainer, trained_tiny_clip
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.files import sha256_of
from tgn.runtime.progress import Progress, Silent
from tgn.runtime.settings import ComputeSettings, LoopSettings
from tgn.runtime.training_loop import Job

FILE = "clip_tiny.safetensors"


@pytest.fixture
def train(fake_run, monkeypatch):
    """Return a function that trains the CLIP of the fake run in a folder."""
    monkeypatch.setattr(clip_tiny, "VIEWS", 256)
    split = fake_run.split()
    images = split.image_set("train", fake_run.path, 32, 3)
    device = Device(ComputeSettings.model_validate(QUICK))

    def trained(folder: Path, steps: int, progress: Progress | None = None, resume: bool = True):
        job = Job(folder, device, progress or Silent(), resume)
        return trained_tiny_clip(images, prompts_of(split.names), LoopSettings(steps=steps), job)

    return trained


def test_unseen_images_are_named(fake_run, train, in_tmp):
    test = fake_run.split().image_set("test", fake_run.path, 32, 3)
    guide = train(in_tmp / "clip", 40).freeze()
    with torch.no_grad():
        cosines = guide(to_pm1(test.batch(torch.arange(len(test)))))
    assert (cosines.argmax(1) == test.labels).float().mean() >= 0.75  # chance: 0.25


def test_an_interrupted_training_ends_as_an_uninterrupted_one(train, in_tmp):
    train(in_tmp / "whole", 4)
    with pytest.raises(KeyboardInterrupt):
        train(in_tmp / "parts", 4, Stops(2))
    assert not (in_tmp / "parts" / FILE).exists()
    train(in_tmp / "parts", 4)
    assert sha256_of(in_tmp / "parts" / FILE) == sha256_of(in_tmp / "whole" / FILE)


def test_the_file_is_taken_again_only_if_it_was_trained_so(train, in_tmp, monkeypatch):
    folder = in_tmp / "clip"
    first = train(folder, 2).model.heads.state_dict()
    with monkeypatch.context() as patch:
        patch.setattr(ClipTrainer, "train_step", None)  # no step is done
        again = train(folder, 2).model.heads.state_dict()
    assert all(torch.equal(again[name], value) for name, value in first.items())
    sha256 = sha256_of(folder / FILE)
    with pytest.raises(UserError, match="clip_steps differ.*--no-resume"):
        train(folder, 3)
    train(folder, 3, resume=False)
    assert sha256_of(folder / FILE) != sha256


def test_views_are_bounded_and_of_every_class_alike(fake_run, train, in_tmp):
    guide = train(in_tmp / "clip", 1)
    images = fake_run.split().image_set("train", fake_run.path, 32, 3)
    device = Device(ComputeSettings.model_validate(QUICK))
    views = ClipTrainer(guide, images, LoopSettings(steps=1000), device).views
    assert len(views.features) == len(views.labels) == 256
    assert not views.features.requires_grad
    assert views.labels.bincount(minlength=4).min() > 256 / 4 / 1.5  # counts are 24, 12, 6 and 4
