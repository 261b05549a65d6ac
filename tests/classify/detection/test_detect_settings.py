"""Settings of detectors: light to import, former names, files of older versions."""

import json
import subprocess
import sys

import pytest
import torch
from PIL import Image

from classify.detection.checkpoints import CHECKPOINT, FORMAT, load_detector, publish, read_spec
from classify.detection.data.dataset import DetectionDataset, DetectionImage
from classify.detection.models.build import DetectorSpec, build_detector
from classify.detection.settings.detector import DetectSettings
from classify.detection.training.train import prepare_training, train_detector
from tgn.runtime.checkpoints import load_state, read_metadata, save_state, save_weights
from tgn.runtime.errors import UserError
from tgn.runtime.progress import Silent
from tgn.runtime.training_loop import STATE

FORMER_NAMES = {
    "weights": "backbone_weights",
    "width": "fpn_channels",
    "patch": "tile_size",
    "overlap": "tile_overlap",
    "clip": "max_grad_norm",
    "mimic.hashes": "mimic.num_hashes",
    "mimic.warm_up": "mimic.warmup",
    "mimic.places": "mimic.locations",
    "mimic.inherit": "mimic.inherit_head",
    "localization.temperature": "localization.ld_temperature",
    "localization.class_temperature": "localization.kd_temperature",
    "localization.weight": "localization.ld_weight",
    "localization.valuable_weight": "localization.vlr_weight",
    "localization.class_weight": "localization.kd_weight",
    "localization.classes": "localization.kd_activation",
    "localization.region": "localization.region_iou",
}


def test_settings_import_no_torch_and_no_numpy():
    code = (
        "import sys, classify.detection.settings; "
        "heavy = {'torch', 'torchvision', 'timm', 'numpy'} & set(sys.modules); "
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("former", "new"), FORMER_NAMES.items())
def test_a_former_name_is_answered_with_the_new_one(former, new):
    with pytest.raises(UserError, match=f"setting '{former}' is now called '{new}'"):
        DetectSettings.resolve(overrides=[f"{former}=1"])


def nested(names: dict[str, object]) -> dict[str, object]:
    """Put dotted names into groups."""
    values: dict[str, object] = {}
    for name, value in names.items():
        group, _, inner = name.rpartition(".")
        (values.setdefault(group, {}) if group else values)[inner] = value
    return values


def test_recorded_settings_are_read_under_new_names():
    values = dict.fromkeys(FORMER_NAMES, 1)
    expected = dict.fromkeys(FORMER_NAMES.values(), 1)
    read = DetectSettings.with_new_names(nested(values))
    assert {name: read[name] for name in nested(expected)} == nested(expected)
    assert read["lr_schedule"] == "cosine"  # older versions had no other


@pytest.mark.parametrize(("detector", "had"), [("gfl", False), ("retinanet", True)])
def test_a_recorded_detector_whose_levels_had_no_factors_goes_on_without(detector, had):
    read = DetectSettings.with_new_names({"detector": detector})
    assert read["level_scales"] == had  # that of others is not read, and as by default


def test_the_header_of_a_file_has_the_keys_of_older_versions(tmp_path):
    spec = DetectorSpec("gfl", "resnet18", ("a",), 64, True, 32, "gwd", 128, 0.25)
    record = {
        "detector": "gfl", "backbone": "resnet18", "classes": ["a"], "size": 64,
        "frozen_norm": True, "width": 32, "box_loss": "gwd", "patch": 128, "overlap": 0.25,
    }  # fmt: skip
    assert list(spec.to_record().items()) == list(record.items())
    net = build_detector(spec)
    metadata = {"format": FORMAT, "facts": json.dumps(record)}
    save_weights(tmp_path / "old.safetensors", net.state_dict(), metadata)
    read, found = load_detector(tmp_path / "old.safetensors")
    assert found == spec
    for a, b in zip(net.state_dict().values(), read.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_tiles_are_shown_as_they_are_unless_a_size_is_given():
    assert DetectSettings().size == 448
    assert (DetectSettings().lr, DetectSettings(optimizer="sgd").lr) == (0.0005, 0.01)
    tiles = DetectSettings.resolve(overrides=["tile_size=1024"])
    assert tiles.size == 1024
    assert tiles.with_changes({"tile_size": 512}).size == 512
    assert "cut into tiles of 1024 px, each shown at 1024 px" in tiles.scale_in_words
    assert DetectSettings(tile_size=1024, size=512).size == 512
    with pytest.raises(UserError) as caught:
        DetectSettings.resolve(overrides=["tile_size=x"])
    assert "setting size" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("tile_overlap=0.5", "tile_overlap has no effect without tile_size"),
        ("box_loss=kld", "box_loss has no effect without detector=rotated-retinanet"),
        ("mimic.weight=3", "mimic has no effect without distill=l2, lsh, lshl2"),
        ("localization.angle=periodic", "localization has no effect without distill=kd, ld"),
        ("imitation.weight=3", "imitation has no effect without imitation.region"),
        ("decay=0.5", "decay has no effect without lr_schedule=milestones"),
        ("lr_schedule=milestones", "lr_schedule=milestones needs milestones, in steps"),
        ("distill=ld", "distill=ld is not for faster-rcnn; take l2, lsh, lshl2"),
        ("mimic=3", "mimic is a group of settings: got mimic=3, expected mimic.NAME=VALUE"),
        ("detector.size=3", "setting detector has no settings of its own: got detector.size; "),
    ],
)
def test_what_does_not_fit_together_is_said_in_a_sentence(given, message):
    with pytest.raises(UserError) as caught:
        DetectSettings.resolve(overrides=[given])
    assert str(caught.value).startswith(message)
    assert "{" not in str(caught.value)


def test_settings_made_in_python_print_no_dictionary_either():
    with pytest.raises(ValueError, match="not for retinanet") as caught:
        DetectSettings(detector="retinanet", distill="ld")
    assert "{" not in str(caught.value)


def test_settings_of_a_training_are_settings_again(tmp_path):
    import yaml

    (tmp_path / "settings.yaml").write_text(DetectSettings(tile_size=256).explained())
    assert yaml.safe_load((tmp_path / "settings.yaml").read_text())["size"] == 256
    assert DetectSettings.resolve(tmp_path / "settings.yaml") == DetectSettings(
        **DetectSettings(tile_size=256).model_dump()
    )


@pytest.fixture
def data(tmp_path):
    path, no = tmp_path / "x.png", torch.zeros(1, dtype=torch.bool)
    Image.new("RGB", (96, 80), (90, 100, 110)).save(path)
    image = DetectionImage(path, torch.tensor([[8.0, 8, 40, 40]]), torch.tensor([0]), no, no)
    return DetectionDataset(("a",), (image,))


def with_former_names(values: dict[str, object], prefix: str = "") -> dict[str, object]:
    """Undo the renaming in recorded settings."""
    former = {new: old for old, new in FORMER_NAMES.items()}
    result: dict[str, object] = {}
    for name, value in values.items():
        old = former.get(prefix + name, prefix + name).rpartition(".")[2]
        is_group = isinstance(value, dict)
        result[old] = with_former_names(value, f"{name}.") if is_group else value
    return result


def test_a_checkpoint_of_an_older_version_is_resumed(tmp_path, data):
    settings = DetectSettings(
        device="cpu", detector="gfl", size=96, batch_size=1, fpn_channels=32, tile_size=64,
        steps=2, save_every=1, log_every=1,
    )  # fmt: skip

    def train(steps):
        chosen = settings.model_copy(update={"steps": steps})
        train_detector(prepare_training((data, data), tmp_path / "old", chosen, Silent()))

    train(2)
    path = tmp_path / "old" / STATE
    state = load_state(path)
    assert {"width", "patch", "overlap"} < set(json.loads(state["made_from"])["facts"])
    recorded = with_former_names(json.loads(state["settings"]))
    assert {"width", "patch", "overlap", "clip", "weights"} < set(recorded)
    assert "class_weight" in recorded["localization"]
    for unknown in ("lr_schedule", "milestones", "decay", "epochs"):
        recorded.pop(unknown, None)
    save_state(path, {**state, "settings": json.dumps(recorded)})

    train(3)
    assert load_state(path)["step"] == 3
    assert publish(tmp_path / "old", tmp_path / "out.safetensors") == 3
    assert read_spec(tmp_path / "out.safetensors").tile_size == 64
    metadata = read_metadata(tmp_path / "old" / CHECKPOINT)
    assert json.loads(metadata["facts"])["patch"] == 64
