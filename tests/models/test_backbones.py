"""Backbones, their checkpoints, measures, averages, augmentation and the feature bank."""

import pytest
import torch
from torch.autograd import gradcheck
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score

from tgn.data.augmentation import augment, dihedral, draw_augmentation, random_dihedral
from tgn.data.batches import BatchSampler
from tgn.metrics.classification import balanced_accuracy_error, macro_f1, recalls, summary
from tgn.models.backbones import build_backbone, load_classifier, save_classifier
from tgn.models.feature_bank import FeatureBank, read_bank, write_bank
from tgn.models.feature_losses import feature_distance
from tgn.models.moving_average import averaged
from tgn.models.settings import BackboneSettings
from tgn.runtime.checkpoints import load_weights, save_weights
from tgn.runtime.errors import NotFoundError, UserError
from tgn.runtime.seeds import generator, seed_of

FOLDERS = ("a", "b", "c")


@pytest.mark.parametrize("arch", ["tiny", "resnet18"])
def test_a_backbone_gives_logits_and_stage_three_features(arch):
    net = build_backbone(BackboneSettings(arch=arch), FOLDERS)
    output = net(torch.zeros(2, 3, 32, 32))
    assert output.logits.shape == (2, 3)
    assert output.features.shape == (2, net.feature_channels, 8, 8)


def test_a_classifier_file_gives_the_same_logits_frozen_in_eval(tmp_path):
    net = build_backbone(BackboneSettings(bands=1), FOLDERS).eval()
    save_classifier(tmp_path / "a.safetensors", net)
    loaded = load_classifier(tmp_path / "a.safetensors")
    images = torch.randn(2, 1, 32, 32)
    assert torch.equal(loaded(images).logits, net(images).logits)
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    assert loaded.facts == net.facts


def test_weights_from_a_file_must_fit_in_all_but_the_last_layer(tmp_path):
    known = build_backbone(BackboneSettings(arch="resnet18", size=96), ("x", "y"))
    weights = known.net.state_dict()
    save_weights(tmp_path / "w.safetensors", weights)
    settings = BackboneSettings(arch="resnet18", size=96, weights=str(tmp_path / "w.safetensors"))
    net = build_backbone(settings, FOLDERS)
    assert torch.equal(net.net.layer3[0].conv1.weight, weights["layer3.0.conv1.weight"])
    del weights["layer3.0.conv1.weight"]
    save_weights(tmp_path / "w.safetensors", weights)
    with pytest.raises(UserError, match=r"missing 1 \[layer3.0.conv1.weight\]"):
        build_backbone(settings, FOLDERS)


@pytest.mark.parametrize("size", [32, 96])
def test_a_classifier_of_ours_goes_on_as_it_was_trained(tmp_path, size):
    torch.manual_seed(0)
    known = build_backbone(BackboneSettings(arch="resnet18", size=size), ("x", "y")).eval()
    save_classifier(tmp_path / "w.safetensors", known)
    settings = BackboneSettings(arch="resnet18", size=96, weights=str(tmp_path / "w.safetensors"))
    net = build_backbone(settings, FOLDERS).eval()
    images = torch.randn(2, 3, 96, 96)
    assert torch.equal(net(images).features, known(images).features)
    grey = build_backbone(settings.model_copy(update={"bands": 1}), FOLDERS).eval()
    seen, same = grey(images[:, :1]).features, known(images[:, :1].expand(-1, 3, -1, -1)).features
    torch.testing.assert_close(seen, same, rtol=1e-3, atol=1e-3)
    with pytest.raises(UserError, match="is a resnet18; expected arch=resnet18, got tiny"):
        build_backbone(settings.model_copy(update={"arch": "tiny"}), FOLDERS)


def test_wrong_archs_and_files_are_refused(tmp_path):
    with pytest.raises(UserError, match="unknown arch 'resnet19'"):
        build_backbone(BackboneSettings(arch="resnet19"), FOLDERS)
    save_weights(tmp_path / "w.safetensors", {"a": torch.zeros(1)})
    with pytest.raises(UserError, match="no classifier checkpoint"):
        load_classifier(tmp_path / "w.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "w.safetensors").read_bytes()[:20])
    with pytest.raises(UserError, match="whole safetensors"):
        load_classifier(tmp_path / "cut.safetensors")


class Hostile:
    def __reduce__(self):
        return (print, ("this must not run",))


def test_a_pickle_that_would_run_code_is_refused(tmp_path, capsys):
    torch.save({"a": Hostile()}, tmp_path / "bad.pt")
    with pytest.raises(UserError, match="cannot read weights"):
        load_weights(tmp_path / "bad.pt")
    assert capsys.readouterr().out == ""
    torch.save({"a": torch.ones(2)}, tmp_path / "good.pt")
    assert torch.equal(load_weights(tmp_path / "good.pt")["a"], torch.ones(2))


def test_measures_agree_with_torchmetrics():
    draw = generator("measures")
    labels = torch.randint(5, (300,), generator=draw)
    guesses = torch.where(torch.rand(300, generator=draw) < 0.6, labels, labels.roll(1))
    confusion = torch.bincount(labels * 5 + guesses, minlength=25).view(5, 5)
    by_class = multiclass_accuracy(guesses, labels, 5, average="none").double()
    torch.testing.assert_close(recalls(confusion), by_class, rtol=1e-6, atol=1e-6)
    found = summary(confusion, num_head=2)
    assert found["overall"] == pytest.approx((guesses == labels).float().mean().item())
    assert found["head"] == pytest.approx(by_class[:2].mean().item())
    assert found["tail"] == pytest.approx(by_class[2:].mean().item())
    expected = multiclass_f1_score(guesses, labels, 5, average="macro").item()
    assert macro_f1(confusion) == pytest.approx(expected, rel=1e-5)


def test_classes_without_test_images_do_not_count():
    confusion = torch.tensor([[4, 0, 0], [0, 0, 0], [1, 0, 1]])
    assert summary(confusion, 1)["tail"] == 0.5
    assert summary(torch.tensor([[1, 0], [0, 0]]), 1)["tail"] is None


def test_error_of_balanced_accuracy_is_that_of_repeated_draws():
    draw = generator("error")
    shares, counts = torch.tensor([0.3, 0.6, 0.9]), torch.tensor([200, 400, 100])

    def confusion():
        hits = torch.binomial(counts.float(), shares, generator=draw).long()
        table = torch.diag(hits)
        table[:, 0] += counts - hits
        table[0, 0], table[0, 1] = hits[0], (counts - hits)[0]
        return table

    tables = [confusion() for _ in range(500)]
    spread = torch.stack([recalls(table).mean() for table in tables]).std()
    assert balanced_accuracy_error(tables[0]) == pytest.approx(float(spread), rel=0.15)


def test_one_image_a_class_knows_little():
    assert balanced_accuracy_error(torch.eye(4, dtype=torch.int64)) > 0.1


def test_averages_follow_and_forget_the_start():
    net = torch.nn.BatchNorm1d(2)
    average = averaged(net, 0.5)
    with torch.no_grad():
        net.weight.fill_(3.0)
    net.running_mean.fill_(3.0)
    for _ in range(60):
        average.update_parameters(net)
    torch.testing.assert_close(average.module.weight, net.weight)
    torch.testing.assert_close(average.module.running_mean, net.running_mean)


def test_symmetries_are_the_eight_of_the_square():
    image = torch.randn(1, 2, 6, 6)
    turned = [dihedral(image, code) for code in range(8)]
    assert all(not torch.equal(turned[i], turned[j]) for i in range(8) for j in range(i))
    assert torch.equal(dihedral(dihedral(image, 1), 3), image)
    assert torch.equal(dihedral(dihedral(image, 5), 5), image)
    batch = random_dihedral(image.expand(8, -1, -1, -1), torch.arange(8))
    assert torch.equal(batch, torch.cat(turned))


def test_augmentation_stays_in_range_and_depends_on_its_generator():
    images = torch.rand(6, 3, 16, 16) * 2 - 1
    plans = [draw_augmentation(6, generator(seed)) for seed in ("a", "a", "b")]
    first, again, other = (augment(images, plan) for plan in plans)
    assert torch.equal(first, again)
    assert first.shape == images.shape
    assert first.abs().max() <= 1
    assert not torch.equal(first, other)
    part = torch.tensor([1, 4])
    torch.testing.assert_close(augment(images[part], plans[0].rows(part)), first[part])


def test_batches_depend_on_seed_and_step_alone_and_can_be_balanced():
    labels = torch.tensor([0] * 90 + [1] * 10)
    balanced = BatchSampler(labels, 4000, 0, seed=3)
    assert torch.equal(balanced.rows(5), BatchSampler(labels, 4000, 0, seed=3).rows(5))
    assert not torch.equal(balanced.rows(5), balanced.rows(6))
    assert (labels[balanced.rows(0)] == 1).float().mean() == pytest.approx(0.5, abs=0.05)
    plain = BatchSampler(labels, 4000, 1, seed=3)
    assert (labels[plain.rows(0)] == 1).float().mean() == pytest.approx(0.1, abs=0.03)
    root = BatchSampler(labels, 4000, 0.5, seed=3)  # sqrt 90 to sqrt 10 is 3 to 1
    assert (labels[root.rows(0)] == 1).float().mean() == pytest.approx(0.25, abs=0.04)


def test_seeds_are_fixed_and_tell_keys_apart():
    assert seed_of("a", 1) == seed_of("a", 1)
    assert len({seed_of("a", 1), seed_of("a", "1"), seed_of("a1"), seed_of(1, "a")}) == 4
    assert 0 <= seed_of("x") < 2**63


def test_bank_round_trip(tmp_path):
    with pytest.raises(NotFoundError, match="tgn distill"):
        read_bank(tmp_path)
    bank = FeatureBank(torch.randn(3, 2, 4, 1, 1).half(), torch.tensor([5, 6, 5]), ["x"] * 3, "ab")
    write_bank(tmp_path, bank)
    read = read_bank(tmp_path)
    assert torch.equal(read.features, bank.features)
    assert (read.views, read.files, read.weights_sha256) == (2, ["x"] * 3, "ab")
    assert read.rows_of(5).tolist() == [0, 2]
    with pytest.raises(NotFoundError, match="class number 9"):
        read.rows_of(9)


def one_by_one(*values: float) -> torch.Tensor:
    """Return a map [1, D, 1, 1]."""
    return torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1)


def test_feature_distance_by_hand():
    student, teacher = torch.ones(2, 3, 1, 1), torch.full((2, 3, 1, 1), 3.0)
    assert feature_distance(student, teacher, "mse").tolist() == [4.0, 4.0]
    assert feature_distance(student, teacher, "normalised").tolist() == pytest.approx([0.0, 0.0])
    for other, expected in (
        (one_by_one(4.0, -3.0), 2.0),  # orthogonal
        (one_by_one(-3.0, -4.0), 4.0),  # opposite
        (one_by_one(0.0, 2.0), 2 - 2 * 0.8),  # cos = 4 / 5
        (one_by_one(0.0, 0.0), 1.0),  # of a map of zeros there is no direction
    ):
        found = feature_distance(one_by_one(3.0, 4.0), other, "normalised")
        assert found.item() == pytest.approx(expected)
        assert feature_distance(other, one_by_one(3.0, 4.0), "normalised").item() == found.item()


def test_normalised_distance_knows_no_scale():
    student, teacher = torch.randn(2, 5, 7, 3, 3)
    found = feature_distance(student, teacher, "normalised")
    for a, b in ((1000.0, 1000.0), (1e-3, 1.0), (1.0, 50.0)):
        torch.testing.assert_close(feature_distance(a * student, b * teacher, "normalised"), found)
    assert ((found > 0) & (found < 4)).all()
    roots = [x.square().mean((1, 2, 3), keepdim=True).sqrt() for x in (student, teacher)]
    by_rms = (student / roots[0] - teacher / roots[1]).square().mean((1, 2, 3))
    torch.testing.assert_close(found, by_rms)
    halves = feature_distance(student.half(), 100 * teacher.half(), "normalised")
    torch.testing.assert_close(halves, found, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("kind", ["normalised", "mse"])
def test_gradients_of_feature_distance(kind):
    student, teacher = torch.randn(2, 2, 3, 2, 1, dtype=torch.float64)
    student.requires_grad_(True)
    assert gradcheck(lambda x: feature_distance(x, teacher, kind), (student,))
    teacher.requires_grad_(True)
    feature_distance(student, teacher, kind).sum().backward()
    assert teacher.grad is None
    with pytest.raises(ValueError, match="student features"):
        feature_distance(student, student[:1], kind)


def test_equal_weights_give_equal_files(tmp_path):
    for name in "abcdef":
        facts = {str(i): name * 0 for i in range(20)}
        save_weights(tmp_path / name, {"w": torch.ones(2), "v": torch.zeros(1)}, facts)
    assert len({(tmp_path / name).read_bytes() for name in "abcdef"}) == 1
