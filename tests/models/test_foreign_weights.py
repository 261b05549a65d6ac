"""Weights of other programs, as people have them."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file

from tgn.models.backbones import build_backbone, load_classifier, save_classifier
from tgn.models.classifier_facts import FORMAT, read_facts
from tgn.models.foreign_weights import bare_names, with_bands
from tgn.models.settings import BackboneSettings
from tgn.runtime.checkpoints import METADATA_KEY, load_weights
from tgn.runtime.errors import UserError

FOLDERS = ("a", "b", "c")


@pytest.fixture(scope="module")
def resnet():
    torch.manual_seed(0)
    return torchvision.models.resnet18(weights=None).eval()


def started(file, **settings):
    wanted = {"arch": "resnet18", "size": 96, "weights": str(file)} | settings
    return build_backbone(BackboneSettings(**wanted), FOLDERS).eval()


def check_same(net, resnet):
    own = net.net.state_dict()
    for name, value in resnet.state_dict().items():
        if not name.startswith("fc.") and not name.endswith("num_batches_tracked"):
            assert torch.equal(own[name], value), name
    assert own["fc.weight"].shape == (3, 512)


@pytest.mark.parametrize(
    "prefix",
    ["", "module.", "_orig_mod.", "model.", "backbone.", "module._orig_mod.", "model.backbone."],
)
def test_prefixes(tmp_path, resnet, prefix):
    torch.save({prefix + k: v for k, v in resnet.state_dict().items()}, tmp_path / "w.pth")
    check_same(started(tmp_path / "w.pth"), resnet)


@pytest.mark.parametrize("wrapper", ["model", "state_dict", "model_state_dict", "net"])
def test_wrappers_with_what_stands_beside(tmp_path, resnet, wrapper):
    beside = {"epoch": 3, "args": argparse.Namespace(lr=0.1), "best": np.float64(0.5)}
    torch.save({wrapper: resnet.state_dict(), **beside, "optimizer": {}}, tmp_path / "w.pt")
    check_same(started(tmp_path / "w.pt"), resnet)


@pytest.mark.parametrize("key", ["state_dict_ema", "model_ema", "ema"])
def test_the_average_goes_first(tmp_path, resnet, key):
    other = torchvision.models.resnet18(weights=None).state_dict()
    averaged = {"module." + k: v for k, v in resnet.state_dict().items()}
    averaged["n_averaged"] = torch.tensor(7)
    torch.save({"model": {"state_dict": other}, key: averaged}, tmp_path / "w.pt")
    check_same(started(tmp_path / "w.pt"), resnet)


def test_counters_may_be_absent_and_the_head_another_one(tmp_path, resnet):
    old = {k: v for k, v in resnet.state_dict().items() if not k.endswith("num_batches_tracked")}
    for head in ("fc.0", "head.fc", "classifier", "last_linear"):
        weights = {k.replace("fc", head) if k.startswith("fc.") else k: v for k, v in old.items()}
        weights[f"{head}.weight"] = torch.zeros(7, 512)
        torch.save(weights, tmp_path / "w.pth")
        check_same(started(tmp_path / "w.pth"), resnet)


@pytest.mark.parametrize("bands", [1, 13])
def test_other_bands_see_a_grey_picture_as_before(tmp_path, resnet, bands):
    torch.save(resnet.state_dict(), tmp_path / "w.pth")
    grey = torch.rand(2, 1, 96, 96) * 2 - 1
    nets = [started(tmp_path / "w.pth", bands=count) for count in (3, bands)]
    assert len(nets[1].facts.mean) == bands
    seen = [net(grey.expand(-1, net.facts.bands, -1, -1)).features for net in nets]
    # All but equal: mean and standard deviation differ a little between R, G and B.
    assert torch.corrcoef(torch.stack([s.flatten() for s in seen]))[0, 1] > 0.99


def test_bands_are_exact_where_all_bands_are_normalised_alike():
    first, images = torch.randn(4, 3, 3, 3), torch.randn(1, 1, 8, 8)
    spread = with_bands({"conv": first}, {"conv": torch.zeros(4, 5, 3, 3)})["conv"]
    known = torch.nn.functional.conv2d(images.expand(-1, 3, -1, -1), first)
    seen = torch.nn.functional.conv2d(images.expand(-1, 5, -1, -1), spread)
    torch.testing.assert_close(seen, known)
    two = {"a": first, "b": first}
    assert with_bands(two, {k: torch.zeros(4, 5, 3, 3) for k in two}) == two


def test_torchvision_names_of_a_mobilenet_go_by_order(tmp_path):
    net = torchvision.models.mobilenet_v2(weights=None, num_classes=5)
    torch.save(net.state_dict(), tmp_path / "w.pth")
    found = started(tmp_path / "w.pth", arch="mobilenetv2_100", bands=4)
    known = net.features[17].conv[2].weight
    assert torch.equal(found.net.blocks[6][0].conv_pwl.weight, known)
    assert found.net.conv_stem.weight.shape[1] == 4
    with pytest.raises(UserError, match="missing .*unknown"):
        started(tmp_path / "w.pth")
    torch.save(dict(list(net.state_dict().items())[:-20]), tmp_path / "w.pth")
    with pytest.raises(UserError, match="not the 260 of the network, by name or in order"):
        started(tmp_path / "w.pth", arch="mobilenetv2_100")


def test_two_networks_in_one_file_are_refused():
    weights = {"model.a": torch.zeros(1), "module.a": torch.zeros(1)}
    with pytest.raises(UserError, match="two entries that could be 'a'"):
        bare_names(weights, {"a"}, "w.pt")


def test_a_whole_model_is_refused_in_one_line(tmp_path, resnet):
    torch.save(resnet, tmp_path / "whole.pt")
    with pytest.raises(UserError, match="pickled code .torchvision.models.resnet.ResNet") as error:
        started(tmp_path / "whole.pt")
    assert "\n" not in str(error.value)
    assert "torch.save(model.state_dict(), FILE)" in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "of type list"),
        (7, "of type int"),
        (None, "of type NoneType"),
        ({}, "an empty dict"),
        ({1: torch.zeros(1)}, "1: Tensor"),
        ({"state_dict": [1]}, "'state_dict': list"),
        ({"state_dict": None}, "'state_dict': NoneType"),
    ],
)
def test_files_without_a_state_dict_are_described(tmp_path, content, message):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(UserError, match=message) as error:
        load_weights(tmp_path / "w.pt")
    assert "\n" not in str(error.value)
    assert "expected a state dict" in str(error.value)


def test_ours_start_others(tmp_path):
    known = build_backbone(BackboneSettings(arch="tiny", weights="none"), ("x", "y"))
    save_classifier(tmp_path / "classifier.safetensors", known)
    net = started(tmp_path / "classifier.safetensors", arch="tiny", size=32)
    assert torch.equal(net.net.layer2[0].conv1.weight, known.net.layer2[0].conv1.weight)
    assert net.facts.started_from.endswith("classifier.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, "damaged or of another kind: content: Invalid JSON"),
        ({"size": "large"}, "size: "),
        ({"colour": 1}, "colour: "),
        (
            {"arch": "hf-hub:someone/net"},
            "arch: expected the name .*'hf-hub:",
        ),
    ],
)
def test_files_that_describe_no_network_are_told_in_one_line(tmp_path, change, message):
    facts = {"arch": "tiny", "size": 32, "bands": 3, "small_stem": True, "folders": ["a", "b"]}
    facts |= {"mean": [0.5] * 3, "std": [0.5] * 3, **(change or {})}
    metadata = {"format": FORMAT} | ({} if change is None else {"facts": json.dumps(facts)})
    file = tmp_path / "w.safetensors"
    save_file({"a": torch.zeros(1)}, file, {METADATA_KEY: json.dumps(metadata)})
    with pytest.raises(UserError, match=message) as error:
        load_classifier(file)
    assert "\n" not in str(error.value)


def test_metadata_of_other_programs_is_not_ours(tmp_path):
    for number, text in enumerate(("not JSON", "[1]")):
        file = Path(tmp_path / f"{number}.safetensors")
        save_file({"a": torch.zeros(1)}, file, {METADATA_KEY: text})
        assert read_facts(file) is None
