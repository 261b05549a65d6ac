"""LSHFM: hashes, the layer that matches embeddings, and the two stages."""

import math

import pytest
import torch
from classify_support import small_settings, train_small
from torch.autograd import gradcheck

from classify.losses.hashing import Hyperplanes, lsh_per_image, masked_mean
from classify.methods.base import Batch, Teacher
from classify.methods.lsh import LshMimicking, MatchedClassifier
from classify.methods.phases import MethodInputs
from tgn.data.images import to_pm1
from tgn.data.run_layout import CHECKPOINT
from tgn.models.backbones import build_backbone, load_classifier
from tgn.runtime.devices import Device


def test_hashes_agree_as_the_angle_says():
    draw = torch.Generator().manual_seed(0)
    planes = Hyperplanes(16, 20_000, 1.0, draw)
    one, other = torch.randn(2, 16, generator=draw)
    angle = torch.acos(torch.cosine_similarity(one, other, dim=0)).item()
    agree = ((planes(one[None]) > 0) == (planes(other[None]) > 0)).float().mean().item()
    assert agree == pytest.approx(1 - angle / math.pi, abs=3 * math.sqrt(0.25 / 20_000))


@pytest.mark.parametrize("kind", ["zero", "mean", "median"])
def test_the_median_cuts_the_data_in_half(kind):
    draw = torch.Generator().manual_seed(0)
    planes, data = Hyperplanes(8, 300, 1.0, draw), torch.rand(400, 8, generator=draw).exp()
    planes.set_bias(kind, data)
    share = (planes(data) > 0).float().mean(0)
    if kind == "median":
        assert (share - 0.5).abs().max() <= 1 / math.sqrt(400)
    elif kind == "mean":
        torch.testing.assert_close(planes(data).mean(0), torch.zeros(300), atol=1e-4, rtol=0)
    else:
        assert planes.bias.eq(0).all()


def test_lsh_falls_with_the_angle_and_never_becomes_nan():
    draw = torch.Generator().manual_seed(0)
    planes = Hyperplanes(8, 500, 1.0, draw)
    taught = torch.randn(1, 8, generator=draw)
    aside = torch.randn(1, 8, generator=draw)
    losses = []
    for turn in (0.0, 0.5, 1.0, 2.0):
        turned = taught + turn * aside
        turned = turned / turned.norm() * taught.norm()
        losses.append(lsh_per_image(planes(turned), planes(taught)).item())
    assert losses == sorted(losses)
    assert masked_mean(torch.tensor([1.0, 2.0]), torch.zeros(2), Device(small_settings())) == 0
    values = torch.randn(3, 20, dtype=torch.float64)
    student = torch.randn(3, 20, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: lsh_per_image(x, values), (student,))
    assert torch.isfinite(lsh_per_image(torch.full((1, 20), 1e4), -torch.ones(1, 20))).all()


def test_the_matching_layer_merges_away(fake_run):
    layer, embedding = MatchedClassifier(16, 32, 5), torch.randn(7, 16)
    torch.testing.assert_close(layer.merged()(embedding), layer(embedding), atol=1e-5, rtol=1e-5)
    train_small(fake_run, "wide", steps=2, arch="resnet18")
    wide = fake_run.path / "classify" / "wide" / CHECKPOINT
    result = train_small(fake_run, "narrow", wide, method="lsh", lsh={"loss": "lsh"})
    net = load_classifier(fake_run.path / "classify" / "narrow" / CHECKPOINT)
    assert isinstance(net.classifier, torch.nn.Linear)
    assert math.isfinite(result["balanced"])


def test_the_first_stage_trains_the_matching_layer_alone(fake_run, teacher):
    chosen = small_settings(
        method="lsh", lsh={"matching_fraction": 0.5, "warmup": 0.5, "weight": 3.0}
    )
    device = Device(chosen)
    student = build_backbone(chosen, tuple(entry.folder for entry in fake_run.split().classes))
    images = fake_run.split().image_set("train", fake_run.path, 16, 3)
    inputs = MethodInputs(
        student,
        lambda logits, batch: torch.nn.functional.cross_entropy(logits, batch.labels),
        {"teacher": Teacher(load_classifier(teacher))},
        torch.tensor(fake_run.split().counts),
        images,
        None,
        device,
        0,
    )
    method = LshMimicking(inputs, chosen.lsh).train()
    pixels, labels = to_pm1(images.batch(torch.arange(8))), torch.arange(8) % 4
    share = torch.ones(8)
    none = torch.zeros(8, dtype=torch.bool)

    def trained(progress):
        method.zero_grad(set_to_none=True)
        prior = torch.full((4,), 0.25)
        batch = Batch(pixels, labels, labels, share, none, none, prior, progress)
        output = method(batch)
        output.loss.backward()
        return output, {n for n, p in student.net.named_parameters() if p.grad is not None}

    name = student.classifier_name
    output, moved = trained(0.25)
    assert moved == {f"{name}.match.weight", f"{name}.match.bias"}
    terms = output.terms
    torch.testing.assert_close(output.loss, 3.0 * (terms["l2"] + terms["lsh"]))
    output, moved = trained(0.625)  # half of the warm-up, which begins with the second stage
    assert moved == {n for n, _ in student.net.named_parameters()}
    terms = output.terms
    mimicked = 1.5 * (terms["l2"] + terms["lsh"])
    torch.testing.assert_close(output.loss, terms["labels"] + mimicked)
