"""Distillation: the terms by hand, teachers that stay as they are, chains that go on."""

import math

import pytest
import torch
from classify_support import small_settings, train_small

from classify.losses.distillation import FeatureMatch, soft_target_kl
from classify.methods.base import Teacher
from classify.methods.feature_mse import GroupedTeachers
from classify.methods.settings import T2ftsSettings
from classify.methods.t2fts import calibrated_weights, groups_of
from classify.training import networks
from classify.training import train as train_module
from classify.training.settings import TrainSettings
from tgn.models.backbones import build_backbone, load_classifier
from tgn.runtime.errors import UserError
from tgn.runtime.files import read_json, sha256_of

CHECKPOINT = "classifier.safetensors"


def train(run, name, teacher=None, resume=True, **changes):
    return train_small(run, name, teacher, resume, **{"steps": 3, **changes})


def test_softened_classes():
    generator = torch.Generator().manual_seed(0)
    draw, other = torch.randn(2, 4, 5, dtype=torch.float64, generator=generator)
    assert soft_target_kl(draw, draw, 4.0).item() == pytest.approx(0.0, abs=1e-6)
    torch.testing.assert_close(
        soft_target_kl(draw + 2, other, 4.0), soft_target_kl(draw, other, 4.0)
    )
    certain = torch.tensor([[50.0, 0.0]])
    assert soft_target_kl(torch.zeros(1, 2), certain, 1.0).item() == pytest.approx(math.log(2))
    with pytest.raises(ValueError, match="temperature"):
        soft_target_kl(draw, other, 0.0)
    with pytest.raises(ValueError, match="teacher's"):
        soft_target_kl(draw, other[:, :2], 1.0)


def test_features_of_other_widths_are_translated():
    match = FeatureMatch(8, 12)
    values = match(torch.randn(3, 8, 4, 4), torch.randn(3, 12, 2, 2))
    assert values.shape == (3,)
    same = torch.randn(3, 8, 4, 4)
    assert FeatureMatch(8, 8)(same, same).eq(0).all()
    assert FeatureMatch(8, 8)(same, 7 * same).abs().max() < 1e-6
    torch.testing.assert_close(
        FeatureMatch(8, 8, "mse")(same, 3 * same), (2 * same).square().mean((1, 2, 3))
    )
    assert not list(FeatureMatch(8, 8).parameters())


def test_every_image_is_taught_by_its_group(fake_run):
    nets = [build_backbone(small_settings(), ("a", "b", "c")) for _ in range(2)]
    teachers = {"first": Teacher(nets[0]), "second": Teacher(nets[1])}
    grouped = GroupedTeachers(teachers, ("first", "second", "second"))
    images, labels = torch.rand(6, 3, 16, 16), torch.tensor([1, 0, 2, 0, 1, 2])
    taught = grouped.features(images, labels)
    for row, label in enumerate(labels):
        owner = teachers["first" if label == 0 else "second"]
        torch.testing.assert_close(
            taught[row], owner(images[row : row + 1]).features[0], rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("method", ["logit-kd", "feature-mse", "lsh"])
def test_a_teacher_stays_as_it_is_and_is_not_saved(fake_run, teacher, method, monkeypatch):
    kept, saved = [], []
    plain = networks.Teacher

    def spy(net):
        kept.append(plain(net))
        return kept[-1]

    monkeypatch.setattr(networks, "Teacher", spy)
    real = train_module.ClassifierTrainer.state_dict

    def state(self):
        saved.append(real(self))
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        assert trained
        assert not any(p is q for p in trained for q in kept[0].net.parameters())
        return saved[-1]

    monkeypatch.setattr(train_module.ClassifierTrainer, "state_dict", state)
    train(fake_run, "student", teacher, method=method)
    before = load_classifier(teacher).state_dict()
    after = kept[0].net.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not kept[0].net.training
    names = saved[-1]["method"]
    assert names
    assert not any("teacher" in name for name in names)


@pytest.mark.parametrize("method", ["logit-kd", "feature-mse", "lsh"])
def test_another_teacher_makes_another_student(fake_run, teacher, method):
    train(fake_run, "other", steps=2, seed=5)
    other = fake_run.path / "classify" / "other" / CHECKPOINT
    sums = set()
    for name, file in (("a", teacher), ("b", other)):
        train(fake_run, name, file, method=method, **{"lsh": {"warmup": 0, "mask": False}})
        sums.add(sha256_of(fake_run.path / "classify" / name / CHECKPOINT))
    assert len(sums) == 2


def test_teachers_that_do_not_fit_are_refused(fake_run, teacher):
    with pytest.raises(UserError, match="needs --teacher"):
        train(fake_run, "x", method="logit-kd")
    with pytest.raises(UserError, match="takes images of 16 px and 3 bands, but gets 32 px"):
        train(fake_run, "x", teacher, method="logit-kd", size=32)
    with pytest.raises(UserError, match="tgn distill"):
        train(fake_run, "x", method="kmdn")


# T2FTS


def test_groups_cover_all_classes_and_none_is_empty():
    assert groups_of(8, T2ftsSettings()) == ("head",) * 2 + ("middle",) * 2 + ("tail",) * 4
    for classes in range(3, 9):
        assert set(groups_of(classes, T2ftsSettings(head_fraction=0.9, middle_fraction=0.9))) == {
            "head",
            "middle",
            "tail",
        }


def test_alpha_cancels_in_the_released_form_only():
    losses = torch.tensor([0.1, 0.4, 0.0])
    one, many = (calibrated_weights(losses, alpha, "released") for alpha in (1.0, 75.0))
    torch.testing.assert_close(one, many)
    assert one[2] == pytest.approx(float(one[:2].mean()))  # the unknown class
    inside = calibrated_weights(losses, 75.0, "inside-log")
    assert not torch.allclose(inside, one)
    even = calibrated_weights(torch.full((4,), 0.3), 75.0, "released")
    torch.testing.assert_close(even, torch.full((4,), 0.25))
    torch.testing.assert_close(calibrated_weights(torch.zeros(4), 75.0, "released"), even)


def test_t2fts_trains_its_teachers_and_goes_on_in_the_middle(fake_run, monkeypatch):
    done = []
    real = train_module._train_phase

    def stops(this, phase):
        if phase.name == "teacher-tail" and len(done) < 3:
            done.append("stop")
            raise KeyboardInterrupt
        done.append(phase.name)
        real(this, phase)

    monkeypatch.setattr(train_module, "_train_phase", stops)
    with pytest.raises(KeyboardInterrupt):
        train(fake_run, "t2fts", method="t2fts")
    train(fake_run, "t2fts", method="t2fts")
    assert done == ["teacher-head", "teacher-middle", "stop", "teacher-tail", ""]
    folder = fake_run.path / "classify" / "t2fts"
    owned = [
        read_json(folder / f"teacher-{name}" / "metrics.json")["own_classes"]["classes"]
        for name in ("head", "middle", "tail")
    ]
    assert owned == [[0], [1], [2, 3]]


# LSH


def test_records_of_older_versions_had_one_stage_and_trained_all_teachers():
    old = TrainSettings().model_dump(mode="json")
    del old["lsh"]["matching_fraction"]
    for group in ("head", "middle", "tail"):
        del old["t2fts"][f"{group}_teacher"]
    assert TrainSettings.with_new_names(old) == TrainSettings().model_dump(mode="json")


# Cross-modality


@pytest.fixture
def paired(fake_run):
    """The same scenes in grey."""
    from PIL import Image

    split = fake_run.split()
    root, folder = fake_run.path / split.root, fake_run.path.parent.parent / "grey"
    for file, _ in (*split.train, *split.val, *split.test):
        target = (folder / file).with_suffix(".jpg")
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(root / file) as image:
            image.convert("L").save(target)
    return folder


def test_each_phase_is_taught_by_the_student_before_it(fake_run, paired, monkeypatch):
    taught = []
    real = train_module.load_teachers

    def spy(this, phase, shown):
        found = real(this, phase, shown)
        taught.append(
            (
                phase.name,
                {k: t.net.state_dict()["net.fc.weight"].sum().item() for k, t in found.items()},
            )
        )
        return found

    monkeypatch.setattr(train_module, "load_teachers", spy)
    options = {"paired": str(paired), "iterations": 2}
    train(fake_run, "cm", method="cross-modality", cross_modality=options, mixing="mixup")
    folder = fake_run.path / "classify" / "cm"

    def total(name):
        net = load_classifier(folder / name / CHECKPOINT)
        return net.classifier.weight.sum().item()

    order = [name for name, teachers in taught if teachers or name == "ours-0"]
    assert order == ["ours-0", "paired-0", "ours-1", "paired-1", ""]
    controls = [name for name, teachers in taught if not teachers]
    assert controls == ["ours-0", "control-1", "control-2"]
    taught = [(name, teachers) for name, teachers in taught if name in order]
    assert [name for name, _ in taught] == order
    for before, (_, teachers) in zip(order, taught[1:], strict=False):
        assert teachers == {"teacher": pytest.approx(total(before))}
    assert load_classifier(folder / "paired-1" / CHECKPOINT).facts.bands == 1
    assert load_classifier(folder / CHECKPOINT).facts.bands == 3


def test_method_two_has_a_control_that_changes_nothing(fake_run, paired):
    def weights(name, folder="", **options):
        options = {"paired": str(paired), "iterations": 1, **options}
        result = train(fake_run, name, method="cross-modality", cross_modality=options)
        file = fake_run.path / "classify" / name / folder / CHECKPOINT
        return result, load_classifier(file).state_dict()

    def same(a, b):
        return all(torch.equal(a[name], b[name]) for name in a)

    result, with_control = weights("with")
    plain, without = weights("without", control=False)
    assert same(with_control, without)
    assert "control" not in plain
    control = fake_run.path / "classify" / "with" / "control-1"
    metrics = read_json(control / "metrics.json")
    assert result["control"] == {group: metrics[group] for group in ("balanced", "head", "tail")}
    _, untaught = weights("untaught", control=False, weight=0)
    assert same(load_classifier(control / CHECKPOINT).state_dict(), untaught)
    assert not same(with_control, untaught)


def test_records_of_older_versions_meant_mse_and_no_control():
    old = {"feature_mse": {"weight": 0.2}, "t2fts": {"memory": 0.5}, "cross_modality": {}}
    read = TrainSettings.model_validate(TrainSettings.with_new_names(old))
    assert (read.feature_mse.feature_distance, read.feature_mse.weight) == ("mse", 0.2)
    assert (read.t2fts.feature_distance, read.t2fts.ema_decay) == ("mse", 0.5)
    assert not read.cross_modality.control
    new = TrainSettings()
    assert TrainSettings.model_validate(new.with_new_names(new.model_dump(mode="json"))) == new


def test_an_unpaired_image_is_an_error(fake_run, paired):
    next(paired.glob("train/*/*.jpg")).rename(paired / "train" / "square" / "extra.jpg")
    with pytest.raises(UserError, match="1 images have no pair.*1 images there have none"):
        train(fake_run, "cm", method="cross-modality", cross_modality={"paired": str(paired)})
    with pytest.raises(UserError, match="--modality eo,sar"):
        train(fake_run, "cm", method="cross-modality")


def test_method_one_trains_the_teacher_first(fake_run, paired):
    options = {"paired": str(paired), "reduction": "mean"}
    train(fake_run, "cm", method="cross-modality", cross_modality=options)
    assert (fake_run.path / "classify" / "cm" / "teacher" / CHECKPOINT).is_file()


# Second stages


@pytest.mark.parametrize("second_stage", ["crt", "lws", "tau-norm", "ncm"])
def test_second_stages_leave_the_backbone_alone(fake_run, second_stage):
    result = train(fake_run, second_stage, second_stage=second_stage, steps=10)
    folder = fake_run.path / "classify" / second_stage
    first, last = (load_classifier(folder / part / CHECKPOINT) for part in ("first-stage", ""))
    for (name, before), after in zip(
        first.state_dict().items(), last.state_dict().values(), strict=True
    ):
        assert torch.equal(before, after) == (not name.startswith("net.fc.")), name
    assert math.isfinite(result["balanced"])


def test_tau_one_makes_all_classes_equally_long(fake_run):
    train(fake_run, "tau", second_stage="tau-norm")
    weight = load_classifier(fake_run.path / "classify" / "tau" / CHECKPOINT).classifier.weight
    torch.testing.assert_close(weight.norm(dim=1), torch.ones(4))


def test_a_cosine_classifier_is_kept_in_the_file(fake_run):
    train(fake_run, "ldam", loss="ldam", reweighting="deferred")
    net = load_classifier(fake_run.path / "classify" / "ldam" / CHECKPOINT)
    logits = net(torch.rand(2, 3, 16, 16)).logits
    assert net.facts.cosine_scale == 30.0
    assert logits.abs().max() <= 30.0 + 1e-4
    with pytest.raises(ValueError, match="cosine"):
        small_settings(loss="ldam", second_stage="crt")


@pytest.mark.parametrize(
    "changes", [{"sampling": "progressive"}, {"mixing": "remix"}, {"method": "t2fts"}]
)
def test_resume_equals_one_go(fake_run, changes, monkeypatch):
    train(fake_run, "a", **changes)
    real = train_module.ClassifierTrainer.train_step

    def stops(self, step):
        if step == 2 and not stopped:
            stopped.append(step)
            raise KeyboardInterrupt
        return real(self, step)

    stopped: list[int] = []
    monkeypatch.setattr(train_module.ClassifierTrainer, "train_step", stops)
    with pytest.raises(KeyboardInterrupt):
        train(fake_run, "b", **changes)
    train(fake_run, "b", **changes)
    folder = fake_run.path / "classify"
    assert sha256_of(folder / "a" / CHECKPOINT) == sha256_of(folder / "b" / CHECKPOINT)


def test_kmdn_nets_teach_their_groups(fake_run, monkeypatch):
    from tgn.models.backbones import save_classifier

    folders = tuple(entry.folder for entry in fake_run.split().classes)
    for name in ("head", "tail"):
        net = build_backbone(small_settings(), folders)
        save_classifier(fake_run.path / "kmdn" / f"{name}.safetensors", net)
    seen = []
    real = Teacher.__call__

    def spy(self, images):
        seen.append(len(images))
        return real(self, images)

    monkeypatch.setattr(Teacher, "__call__", spy)
    train(fake_run, "kmdn", method="kmdn")
    assert sum(seen) == 3 * 16  # every image of every step asks one teacher
    assert (fake_run.path / "classify" / "kmdn" / CHECKPOINT).is_file()


def test_mixed_images_of_both_sensors_reach_the_networks(fake_run, paired, monkeypatch):
    seen = []
    real = train_module.ClassifierTrainer._batch

    def spy(self, sampled, step, progress):
        batch = real(self, sampled, step, progress)
        if batch.paired_pm1 is not None:
            seen.append(batch)
        return batch

    monkeypatch.setattr(train_module.ClassifierTrainer, "_batch", spy)
    options = {"paired": str(paired)}
    for name, mixing in (("plain", "none"), ("mixed", "mixup")):
        train(fake_run, name, method="cross-modality", cross_modality=options, mixing=mixing)
    assert len(seen) == 12  # three steps of teacher and student, twice
    plain, mixed = seen[3], seen[9]  # the student's first steps, of the same images
    lam, partner = mixed.share[0], mixed.partners
    assert 0 < lam < 1
    assert torch.equal(plain.labels, mixed.labels)
    assert not torch.equal(partner, mixed.labels)
    for before, after in (
        (plain.images_pm1, mixed.images_pm1),
        (plain.paired_pm1, mixed.paired_pm1),
    ):
        others = (after - lam * before) / (1 - lam)  # what was mixed in: images of the same batch
        distance = torch.cdist(others.flatten(1), before.flatten(1)).min(dim=1).values
        assert distance.max() < 1e-2
