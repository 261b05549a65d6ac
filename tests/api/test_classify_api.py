"""The Python interface of classify: a trained classifier applied to images."""

import numpy as np
import pytest
import torch

import classify
from classify.evaluation.predict import predict
from tgn.models.backbones import build_backbone, load_classifier, save_classifier
from tgn.models.settings import BackboneSettings
from tgn.runtime.devices import Device
from tgn.runtime.errors import DataError, TgnError
from tgn.runtime.settings import ComputeSettings


@pytest.fixture
def run(fake_run):
    """A run with a classifier "balanced" and one of ``classify compare``."""
    folders = tuple(entry.folder for entry in fake_run.split().classes)
    net = build_backbone(BackboneSettings(), folders)
    for folder in ("balanced", "compare/ce-seed0", "compare/ce-seed1"):
        save_classifier(fake_run.classifiers / folder / "classifier.safetensors", net)
    return fake_run


def test_classifiers_are_found_by_run_and_name_and_by_file(run):
    file = run.classifiers / "balanced" / "classifier.safetensors"
    for given in (("fake", "balanced"), (run.path, "balanced"), (file,)):
        assert classify.load_classifier(*given).file.samefile(file)
    found = classify.load_classifier("fake", "ce")
    assert found.file.parent.name == "ce-seed0"
    assert found.classes == ["square", "disc", "bar", "cross"]


def test_of_a_compared_recipe_one_seed_or_the_smallest_is_taken(run):
    net = load_classifier(run.classifiers / "balanced" / "classifier.safetensors")
    for seed in (2, 10):
        save_classifier(run.comparison / f"crt-seed{seed}" / "classifier.safetensors", net)
    assert classify.load_classifier("fake", "crt").file.parent.name == "crt-seed2"
    assert classify.load_classifier("fake", "crt-seed10").file.parent.name == "crt-seed10"


def test_what_is_not_there_is_answered_with_what_is(run):
    with pytest.raises(TgnError, match="no classifier 'crt' .* balanced, ce-seed0, ce-seed1"):
        classify.load_classifier("fake", "crt")
    with pytest.raises(TgnError, match="no classifier file nothing"):
        classify.load_classifier("nothing")


def test_probabilities_are_those_of_classify_predict(run):
    net = classify.load_classifier("fake", "balanced", device="cpu")
    files = sorted((run.path / run.split().root / "test").rglob("*.png"))
    probabilities = net.predict(files)
    assert probabilities.shape == (len(files), 4)
    assert torch.allclose(probabilities.sum(1), torch.ones(len(files)))
    device = Device(ComputeSettings(device="cpu"))
    lines = list(predict(load_classifier(net.file), files, device))
    assert net.predict_names(files) == [line.classes[0][0] for line in lines]
    assert torch.equal(net.predict(str(files[0])), net.predict(files[:1]))


def test_tensors_arrays_and_other_sizes_are_taken(run):
    net = classify.load_classifier("fake", "balanced", device="cpu")
    images = torch.randint(0, 255, (5, 3, 32, 32), dtype=torch.uint8)
    assert torch.equal(net.predict(images), net.predict(images.numpy()))
    assert net.predict(images.repeat_interleave(2, 2).repeat_interleave(2, 3)).shape == (5, 4)
    assert net.predict(images[:0]).shape == (0, 4)
    assert torch.equal(net.predict(images.numpy()[::-1, :, ::-1]), net.predict(images.flip(0, 2)))


@pytest.mark.parametrize(
    "images", [np.zeros((2, 3, 8, 8), np.float32), np.zeros((3, 8, 8), np.uint8)]
)
def test_wrong_images_are_named(run, images):
    with pytest.raises(TgnError, match=r"expected uint8 \[N, 3, H, W\]"):
        classify.load_classifier("fake", "balanced").predict(images)


@pytest.mark.parametrize("images", [None, [None], {"a": 1}])
def test_what_holds_no_pixels_is_named(run, images):
    with pytest.raises(TgnError, match=f"images got {type(images).__name__}, expected"):
        classify.load_classifier("fake", "balanced").predict(images)


def test_an_unreadable_file_is_named(run, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="broken.png"):
        classify.load_classifier("fake", "balanced").predict([tmp_path / "broken.png"])
