"""Views of an image at test time: one rule, wherever a classifier is used."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from classify.api import load_classifier as load_for_users
from classify.evaluation.predict import predict
from tgn.data.augmentation import dihedral
from tgn.data.image_set import ImageSet
from tgn.data.images import encode_image, to_pm1
from tgn.models.backbones import build_backbone, freeze, load_classifier, save_classifier
from tgn.models.classifier_facts import FORMAT
from tgn.models.feature_networks import ClassLogits
from tgn.models.inference import class_logits, predictions
from tgn.models.settings import BackboneSettings
from tgn.runtime.checkpoints import save_weights
from tgn.runtime.devices import Device
from tgn.runtime.settings import ComputeSettings


@pytest.fixture
def net():
    net = build_backbone(BackboneSettings(arch="tiny", weights="none", size=16), ("a", "b", "c"))
    net.facts = replace(net.facts, test_symmetries=3)
    return freeze(net)


def test_every_way_gives_the_mean_over_the_views(net, tmp_path):
    torch.manual_seed(0)
    images_u8 = torch.randint(256, (4, 3, 16, 16), dtype=torch.uint8)
    files = [tmp_path / f"{k}.png" for k in range(4)]
    for file, image in zip(files, images_u8, strict=True):
        file.write_bytes(encode_image(image, "png"))
    images_pm1 = to_pm1(images_u8)
    views = [images_pm1, images_pm1.rot90(1, (2, 3)), images_pm1.rot90(2, (2, 3))]
    expected = sum(net(view).logits for view in views) / 3
    assert not torch.allclose(expected, net(images_pm1).logits, atol=1e-4)
    torch.testing.assert_close(class_logits(net, images_pm1), expected)
    device = Device(ComputeSettings(device="cpu", precision="float32"))
    (found,) = predictions(net, ImageSet(files, [0] * 4, 16), device)
    torch.testing.assert_close(found[0], expected)
    torch.testing.assert_close(ClassLogits(net)(images_u8), expected)
    save_classifier(tmp_path / "net.safetensors", net)
    given = load_for_users(tmp_path / "net.safetensors", device="cpu")
    torch.testing.assert_close(given.predict(files), expected.softmax(1), atol=1e-2, rtol=0)
    for row, one in zip(expected.softmax(1), predict(net, files, device, top=3), strict=True):
        listed = dict(one.classes)
        torch.testing.assert_close(torch.tensor([listed[k] for k in "abc"]), row)


def test_a_file_that_says_nothing_of_views_has_one(net, tmp_path):
    facts = asdict(net.facts)
    del facts["test_symmetries"]
    metadata = {"format": FORMAT, "facts": json.dumps(facts)}
    save_weights(tmp_path / "old.safetensors", net.net.state_dict(), metadata)
    old = load_classifier(tmp_path / "old.safetensors")
    assert old.facts.test_symmetries == 1
    images_pm1 = torch.rand(2, 3, 16, 16) * 2 - 1
    torch.testing.assert_close(class_logits(old, images_pm1), old(images_pm1).logits)
    assert not torch.equal(dihedral(images_pm1, 1), images_pm1)


def test_small_images_are_enlarged_as_files_are_read(net, tmp_path):
    small = torch.randint(256, (1, 3, 10, 10), dtype=torch.uint8)
    (tmp_path / "small.png").write_bytes(encode_image(small[0], "png"))
    read = ImageSet([tmp_path / "small.png"], [0], 16).batch(torch.tensor([0]))
    net.facts = replace(net.facts, test_symmetries=1)
    found = ClassLogits(net)(small)
    torch.testing.assert_close(found, net(to_pm1(read)).logits, atol=0.02, rtol=0.02)


def test_a_cpu_sees_few_images_at_a_time(net, monkeypatch):
    seen, real = [], type(net).forward

    def spy(self, images_pm1):
        seen.append(len(images_pm1))
        return real(self, images_pm1)

    monkeypatch.setattr(type(net), "forward", spy)
    net.facts = replace(net.facts, test_symmetries=1)
    images = ImageSet([Path("x.png")] * 70, [0] * 70, 16)
    monkeypatch.setattr(images, "batch", lambda rows: torch.zeros(len(rows), 3, 16, 16).byte())
    found = list(predictions(net, images, Device(ComputeSettings(device="cpu"))))
    assert seen == [32, 32, 6]
    assert sum(len(labels) for _, labels in found) == 70
