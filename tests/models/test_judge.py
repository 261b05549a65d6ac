"""The default judge, and what the file of a generator says it was trained against."""

from dataclasses import replace

import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1
from tgn.models import judge, pretrained
from tgn.models.backbones import build_backbone, load_imagenet_backbone, save_classifier
from tgn.models.extractors import load_extractor
from tgn.models.judge import choose_judge
from tgn.models.pretrained import IMAGENET, file_of
from tgn.models.settings import BackboneSettings
from tgn.models.training_networks import (
    TAIL_NET,
    TrainingNetwork,
    as_header,
    from_header,
    tail_net_networks,
)
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.files import sha256_of
from tgn.runtime.progress import Silent
from tgn.runtime.settings import ComputeSettings

MOBILENET, LITE = "mobilenetv2_100", "tf_efficientnet_lite0"


@pytest.fixture
def saved(tmp_path):
    """Return a maker of tail nets."""
    for arch in (MOBILENET, LITE):
        try:
            file_of(IMAGENET[arch])
        except UserError as error:
            pytest.skip(str(error))

    def make(name="tail", **settings):
        path = tmp_path / f"{name}.safetensors"
        save_classifier(path, build_backbone(BackboneSettings(**settings), ("a", "b")))
        return path

    return make


def test_the_judge_is_the_first_network_that_nothing_was_trained_against(saved):
    used = TrainingNetwork("x", IMAGENET[MOBILENET].sha256)
    assert choose_judge() == f"imagenet/{MOBILENET}"
    assert choose_judge(saved(arch="tiny", size=16)) == f"imagenet/{MOBILENET}"
    assert choose_judge(saved(arch=LITE)) == f"imagenet/{MOBILENET}"
    assert choose_judge(saved(arch=MOBILENET)) == f"imagenet/{LITE}"
    assert choose_judge(saved(arch=MOBILENET, weights="none")) == f"imagenet/{LITE}"
    assert choose_judge(None, [used]) == f"imagenet/{LITE}"
    both = [used, TrainingNetwork("y", IMAGENET[LITE].sha256)]
    assert choose_judge(None, both) == f"imagenet/{judge.JUDGES[0]}"  # and is marked


def test_the_judge_sees_every_image_at_128_px_with_its_own_normalisation(saved, tmp_path):
    saved()
    files = []
    for side in (16, 200):
        pixels = torch.randint(256, (side, side, 3), dtype=torch.uint8).numpy()
        files.append(tmp_path / f"{side}.png")
        Image.fromarray(pixels).save(files[-1])
    device = Device(ComputeSettings(device="cpu", precision="float32"))
    extractor = load_extractor("auto")
    assert (extractor.name, extractor.dimension) == (f"imagenet/{MOBILENET}", 1280)
    assert extractor.weights_sha256 == IMAGENET[MOBILENET].sha256
    assert "128 px" in extractor.provenance.resize
    net = load_imagenet_backbone(MOBILENET)
    for side, file in zip((16, 200), files, strict=True):
        images = ImageSet([file], [0], side)
        pm1 = to_pm1(images.batch(torch.tensor([0])))
        shown = F.interpolate(pm1, (128, 128), mode="bicubic", antialias=True).clamp(-1, 1)
        expected = net.net.forward_head(
            net.net.forward_features((shown * 0.5 + 0.5 - net.mean) / net.std), pre_logits=True
        )
        found = extractor.features(images, device, Silent())
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
        grey = ImageSet([file], [0], side, bands=1)
        assert extractor.features(grey, device, Silent()).shape == (1, 1280)


def test_a_missing_package_names_its_command_and_the_tail_net(monkeypatch):
    gone = replace(IMAGENET[MOBILENET], module="no_such_module")
    monkeypatch.setitem(pretrained.IMAGENET, MOBILENET, gone)
    with pytest.raises(UserError, match=r"pip install.*mobilenet.*extractor=tail"):
        load_extractor("auto")
    with pytest.raises(UserError, match=r"imagenet/resnet50.*imagenet/mobilenetv2_100"):
        load_extractor("imagenet/resnet50")


def test_a_generator_was_trained_against_the_tail_net_and_what_that_started_from(saved, tmp_path):
    plain = saved("plain", arch="tiny", size=16)
    assert tail_net_networks(plain) == [TrainingNetwork(TAIL_NET, sha256_of(plain))]
    started = tail_net_networks(saved("started", arch=LITE))
    assert started[1].sha256 == IMAGENET[LITE].sha256
    again = saved("again", arch="tiny", size=16, weights=str(plain))
    assert tail_net_networks(again)[1] == TrainingNetwork(str(plain), sha256_of(plain))
    third = tail_net_networks(saved("third", arch="tiny", size=16, weights=str(again)))
    assert [network.sha256 for network in third[1:]] == [sha256_of(again), sha256_of(plain)]
    plain.unlink()
    assert tail_net_networks(again)[1] == TrainingNetwork(str(plain), "")


def test_headers_of_older_files_count_as_the_tail_net():
    networks = (TrainingNetwork("tail net", "1"), TrainingNetwork("CLIP ä", "2"))
    assert from_header({"trained_against": as_header(networks)}) == networks
    assert from_header({"trained_against": as_header(None)}) is None
    tail_net, others = from_header({"tail_net_sha256": "3"})
    assert tail_net == TrainingNetwork("tail net", "3")
    assert others.sha256 == ""  # a CLIP may have been in the loss
    assert from_header({}) is None
