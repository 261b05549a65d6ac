"""The public functions of tgn.metrics: features, images and folders give the same numbers."""

import subprocess
import sys

import pytest
import torch
from PIL import Image
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric
from torchvision.models import resnet18

import tgn.metrics as metrics
from tgn.metrics.clip_mmd import clip_mmd
from tgn.metrics.vendi_score import vendi_score
from tgn.models.backbones import build_backbone, save_classifier
from tgn.models.settings import BackboneSettings
from tgn.runtime.errors import NotFoundError, UserError


def features(rows=60, seed=0, shift=0.0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 8, generator=rng, dtype=torch.float64) + shift


def pixels(count=12, seed=0, size=16, bands=3):
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, bands, size, size), generator=rng, dtype=torch.uint8)


def write(folder, images_u8, classes=("",)):
    for i, image in enumerate(images_u8):
        path = folder / classes[i * len(classes) // len(images_u8)] / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
    return folder


def moments(images_u8):
    """Mean and deviation of every band: six features."""
    flat = images_u8.double().flatten(2)
    return torch.cat([flat.mean(2), flat.std(2)], dim=1)


def test_features_equal_torch_fidelity():
    a, b = features(), features(50, seed=1, shift=0.4)
    reference = kid_features_to_metric(a[:50], b, kid_subsets=1, kid_subset_size=50, verbose=False)
    kid = metrics.kid(a[:50], b)
    assert kid.value == pytest.approx(reference["kernel_inception_distance_mean"], rel=1e-3)
    assert float(kid) == kid.value
    fid = fid_statistics_to_metric(
        fid_features_to_statistics(a), fid_features_to_statistics(b), verbose=False
    )
    assert metrics.fid(a, b) == pytest.approx(fid["frechet_inception_distance"], rel=1e-3)
    prc = prc_features_to_metric(
        a, b, prc_neighborhood=3, prc_batch_size=100, save_cpu_ram=False, verbose=False
    )
    found = metrics.precision_recall(a, b, k=3)
    assert (found.precision, found.recall) == pytest.approx((prc["precision"], prc["recall"]))


def test_known_values():
    assert metrics.vendi(torch.eye(6)) == pytest.approx(6)
    assert metrics.diversity(torch.tensor([[0.0], [1.0], [3.0]])) == pytest.approx(2)
    real = features(50)
    found = metrics.copies(real[:10], real)
    assert (found.share, found.threshold > 0) == (1, True)
    assert torch.equal(found.neighbours.index, torch.arange(10))
    assert metrics.cmmd(real, 3 * real) == pytest.approx(0, abs=1e-9)
    assert metrics.precision_recall(real, real) == (1, 1, pytest.approx(1, abs=0.4), 1)
    assert metrics.fid(real, real) == pytest.approx(0, abs=1e-6)


def test_arrays_equal_tensors():
    a, b = features(), features(50, seed=1)
    frozen = a.numpy().copy()
    frozen.flags.writeable = False
    assert metrics.kid(frozen, b.numpy()) == metrics.kid(a, b)
    assert metrics.fid(a.numpy()[::-1], b) == pytest.approx(metrics.fid(a, b))


@pytest.mark.parametrize("classes", [("",), ("airport", "bridge")])
def test_folders_equal_images_equal_features(tmp_path, classes):
    a, b = pixels(), pixels(20, seed=1) // 2
    folders = (write(tmp_path / "a", a, classes), str(write(tmp_path / "b", b)))
    for metric in (metrics.kid, metrics.fid, metrics.precision_recall, metrics.cmmd):
        expected = metric(moments(a), moments(b))
        assert metric(a, b, extractor=moments) == pytest.approx(expected)
        assert metric(a.numpy(), b, extractor=moments) == pytest.approx(expected)
        assert metric(*folders, extractor=moments) == pytest.approx(expected)
        assert metric(moments(a), folders[1], extractor=moments) == pytest.approx(expected)
    assert metrics.vendi(folders[0], moments) == pytest.approx(vendi_score(moments(a)))
    assert metrics.diversity(a, moments) == pytest.approx(metrics.diversity(moments(a)))
    assert metrics.copies(a[:3], folders[0], moments).share == 1


def test_named_extractors(tmp_path):
    images = pixels(6)
    torch.save(resnet18(weights=None).state_dict(), tmp_path / "net.pth")
    name = f"resnet18:{tmp_path / 'net.pth'}"
    table = metrics.extract_features(images, name, device="cpu")
    assert (table.shape, table.dtype) == ((6, 512), torch.float32)
    folder = write(tmp_path / "images", images)
    torch.testing.assert_close(metrics.extract_features(folder, name, device="cpu"), table)
    assert metrics.diversity(folder, name, device="cpu") == pytest.approx(
        metrics.diversity(table), rel=1e-5
    )
    grey = images[:, :1]
    torch.testing.assert_close(
        metrics.extract_features(grey, name, device="cpu"),
        metrics.extract_features(grey.repeat(1, 3, 1, 1), name, device="cpu"),
    )
    own = tmp_path / "own.safetensors"
    save_classifier(own, build_backbone(BackboneSettings(size=16, bands=1), ("a", "b")))
    assert metrics.extract_features(grey, own, device="cpu").shape == (6, 128)
    with pytest.raises(UserError, match=r"expected \[N, 1, H, W\]"):
        metrics.extract_features(images, own)


def test_folders_are_read_at_the_side_of_the_generated_images(tmp_path):
    small = write(tmp_path / "small", pixels(4, size=16))
    large = write(tmp_path / "large", pixels(4, size=32))
    sides = []

    def side(images_u8):
        sides.append(images_u8.shape[-1])
        return moments(images_u8)

    metrics.fid(small, large, side)
    metrics.fid(pixels(4, size=24), large, side)
    metrics.fid(small, large, side, size=20)
    assert sides == [16, 16, 24, 24, 20, 20]


def test_filtered_images_are_left_out(tmp_path):
    folder = write(tmp_path / "a", pixels(4))
    row = '{"file": "001.png", "folder": "", "class_index": 0, "index": 0}\n'
    (folder / "manifest.filtered.jsonl").write_text(row)
    found = metrics.extract_features(folder, moments)
    torch.testing.assert_close(found, moments(pixels(4))[1:2])


class Sampled:
    """Like what a generator returns: an array by its own account."""

    def __array__(self, dtype=None, copy=None):
        return pixels(5).numpy()


def test_anything_array_like():
    torch.testing.assert_close(metrics.extract_features(Sampled(), moments), moments(pixels(5)))


def test_wrong_input():
    with pytest.raises(UserError, match="need an extractor.*NAME:FILE"):
        metrics.kid(pixels(), pixels())
    with pytest.raises(UserError, match=r"float32 \[3, 3, 8, 8\]; expected features \[N, D\]"):
        metrics.fid(torch.zeros(3, 3, 8, 8), features(), extractor=moments)
    with pytest.raises(UserError, match=r"uint8 \[5\]; expected features"):
        metrics.vendi(torch.zeros(5, dtype=torch.uint8))
    with pytest.raises(UserError, match="got list, expected a tensor, an array or a folder"):
        metrics.vendi([[1.0]])
    with pytest.raises(UserError, match=r"returned \[12, 3, 16, 16\] for 12 images"):
        metrics.kid(pixels(), pixels(), extractor=lambda images_u8: images_u8)
    with pytest.raises(UserError, match="got 0 images"):
        metrics.vendi(pixels(0), extractor=moments)
    with pytest.raises(UserError, match="expected a CLIP: clip/ARCH:FILE"):
        metrics.cmmd(pixels(), pixels(), extractor="resnet18:/weights.pth")
    with pytest.raises(UserError, match="got 'tail', the tail net of a run, but there is no run"):
        metrics.kid(pixels(), pixels(), extractor="tail")
    with pytest.raises(ValueError, match="differ in D"):
        metrics.kid(features(), features()[:, :3])
    with pytest.raises(ValueError, match="2 rows"):
        metrics.kid(features(1), features())
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = metrics.nonsense


def test_folders_without_readable_images(tmp_path):
    with pytest.raises(NotFoundError, match="no folder .*nowhere"):
        metrics.kid(tmp_path / "nowhere", features(), extractor=moments)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty has no images"):
        metrics.kid(tmp_path / "empty", features(), extractor=moments)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "1.png").write_text("no image")
    with pytest.raises(UserError, match=r"1\.png: not an image"):
        metrics.vendi(tmp_path / "bad", extractor=moments)


def test_every_function_is_there_and_importing_loads_no_torch():
    assert {*metrics.__all__} <= {*dir(metrics)}
    assert metrics.cmmd(features(), features()) == clip_mmd(features(), features())
    code = (
        "import sys, tgn.metrics as m; assert 'torch' not in sys.modules; "
        "import tgn.metrics.precision_and_recall, tgn.metrics.vendi_score; "
        "assert all(callable(getattr(m, name)) for name in m.__all__)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
