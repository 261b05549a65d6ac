"""Gradients of several batches a step."""

import pytest
import torch
from PIL import Image
from torch import nn

from classify.detection.data.dataset import DetectionDataset, DetectionImage
from classify.detection.distill.base import DetectionTask
from classify.detection.models.build import DetectorSpec, build_detector
from classify.detection.settings.detector import DetectSettings
from classify.detection.training.schedule import schedule_in_words
from classify.detection.training.trainer import DetectorTrainer
from tgn.runtime.devices import Device
from tgn.runtime.optimisation import optimise
from tgn.runtime.settings import ComputeSettings

DEVICE = Device(ComputeSettings(device="cpu", precision="float32"))


@pytest.mark.parametrize("detector", ["gfl", "rotated-retinanet"])
def test_two_batches_a_step_equal_one_that_is_twice_as_large(tmp_path, detector):
    images, no = [], torch.zeros(1, dtype=torch.bool)
    side = 5 if detector == "rotated-retinanet" else 4
    for number in range(3):
        path = tmp_path / f"{number}.png"
        # Of equal images: sums are divided by the objects of a batch, which else would differ.
        Image.new("RGB", (64, 64), (90, 80, 110)).save(path)
        box = torch.tensor([[30.0, 30, 50, 45, 0.3][:side]])
        images.append(DetectionImage(path, box, torch.tensor([0]), no, no))
    data = DetectionDataset(("a",), tuple(images))
    # Batch statistics are of a batch, however many there are in a step: they are fixed here.
    spec = DetectorSpec(detector, "resnet18", ("a",), 64, frozen_norm=True, fpn_channels=32)
    found = []
    for sizes in ({"batch_size": 2, "accumulation": 2}, {"batch_size": 4}):
        settings = DetectSettings(
            detector=detector, optimizer="sgd", steps=2, epochs=2, size=64, **sizes
        )
        torch.manual_seed(0)
        net = build_detector(spec)
        nn.init.zeros_(net.head.score.bias)  # scores of 0.5: their sums are above 1
        settings = settings.model_copy(update={"flips": "none"})
        trainer = DetectorTrainer(DetectionTask(net), data, settings.of_length(3), DEVICE)
        terms = [trainer.train_step(step) for step in range(2)]
        found.append((terms, net.state_dict()))
    (terms, weights), (other_terms, others) = found
    for one, other in zip(terms, other_terms, strict=True):
        assert set(one) == set(other)
        for name in one:
            torch.testing.assert_close(one[name], other[name], rtol=1e-4, atol=1e-5)
    for name, value in weights.items():
        torch.testing.assert_close(value, others[name], rtol=1e-4, atol=1e-5)


def test_losses_that_are_made_one_by_one_are_summed():
    weight = torch.nn.Parameter(torch.tensor(2.0))
    alive = []

    def losses():
        for factor in (1.0, 3.0):
            alive.append(weight.grad is not None)
            yield factor * weight

    optimise(losses(), torch.optim.SGD([weight], lr=0.1), DEVICE)
    assert weight.item() == pytest.approx(2.0 - 0.1 * 4)
    assert alive == [False, True]  # the first gradient is there before the second loss is made


def test_an_epoch_has_as_many_steps_as_images_of_all_its_batches_make():
    settings = DetectSettings(epochs=3, batch_size=2, accumulation=4).of_length(20)
    assert settings.steps == 9
    assert "9 steps of 8 images in 4 batches of 2 (3 epochs of 3 steps)" in schedule_in_words(
        settings, 20
    )
