"""How large images are for a detector: short sides in training and in prediction."""

import pytest
import torch
from PIL import Image

from classify.detection.data.dataset import DetectionDataset, DetectionImage
from classify.detection.data.training_samples import TrainingSamples
from classify.detection.models.scaling import input_scaling
from classify.detection.settings.detector import DetectSettings
from classify.detection.training.train import prepare_training
from classify.detection.training.trainer import DetectorTrainer
from tgn.runtime.progress import Silent

SIDES = (64, 96)


@pytest.fixture
def data(tmp_path):
    no = torch.zeros(1, dtype=torch.bool)
    Image.new("RGB", (120, 60), (90, 100, 110)).save(tmp_path / "x.png")
    box = torch.tensor([[8.0, 8, 40, 40]])
    return DetectionDataset(
        ("a",), (DetectionImage(tmp_path / "x.png", box, torch.tensor([0]), no, no),)
    )


def test_short_sides_are_those_of_the_field():
    settings = DetectSettings(short_sides=[480, 800])
    assert (settings.size, settings.short_side, settings.resolved.test_short_side) == (
        1333, 800, 800
    )  # fmt: skip
    assert "short side of 800 px (in training: 480, 800), its long" in settings.scale_in_words
    scale = input_scaling(settings.size, None, settings.short_side).eval()
    for (height, width), expected in (
        ((600, 800), (800, 1067)),
        ((500, 2000), (333, 1333)),
    ):
        (found,) = scale([torch.zeros(3, height, width)])[0].image_sizes
        assert found == pytest.approx(expected, abs=1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"short_sides": [64], "tile_size": 64}, "tile_size and short_sides"),
        ({"test_short_side": 64}, "test_short_side has no effect without short_sides"),
        ({"short_sides": [600], "size": 500}, "a short side of 600 px is above"),
    ],
)
def test_scales_that_cannot_be_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        DetectSettings(**given)


def test_a_step_draws_one_short_side_for_itself_alone(data):
    samples = TrainingSamples(data, DetectSettings(short_sides=SIDES))
    drawn = [samples.short_side(step) for step in range(20)]
    assert set(drawn) == set(SIDES)
    assert drawn == [samples.short_side(step) for step in range(20)]
    assert TrainingSamples(data, DetectSettings()).short_side(0) is None


@pytest.mark.parametrize("detector", ["faster-rcnn", "gfl"])
def test_training_has_the_drawn_side_and_prediction_the_test_side(tmp_path, data, detector):
    settings = DetectSettings(
        device="cpu", detector=detector, short_sides=SIDES, test_short_side=80, size=256,
        batch_size=1, fpn_channels=32,
    )  # fmt: skip
    ready = prepare_training((data, data), tmp_path / "x", settings, Silent())
    trainer, seen = DetectorTrainer(ready.task, data, settings, ready.job.device), []
    ready.net.transform.register_forward_hook(
        lambda module, inputs, output: seen.append(output[0].image_sizes[0])
    )
    steps = [next(k for k in range(20) if trainer.samples.short_side(k) == one) for one in SIDES]
    for step in steps:
        trainer.train_step(step)
    with torch.inference_mode():
        ready.net.eval()([torch.zeros(3, 60, 120)])
    assert seen == [(64, 128), (96, 192), (80, 160)]
    assert ready.spec.from_record(ready.spec.to_record()) == ready.spec
    assert "short_side" not in ready.spec._replace(short_side=None).to_record()
