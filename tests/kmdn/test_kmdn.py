"""Mutual distillation: the schedule, that teachers stay as they are, and the stage's files."""

import pytest
import torch

from tgn.data.augmentation import dihedral
from tgn.data.image_set import select_classes
from tgn.data.images import to_pm1
from tgn.kmdn.distill import distill
from tgn.kmdn.schedule import StudentUpdate, student_updates, warmup_steps
from tgn.kmdn.settings import DistillSettings
from tgn.models.backbones import load_classifier
from tgn.models.feature_bank import read_bank
from tgn.runtime.files import read_json
from tgn.runtime.progress import Silent

SMALL = {"batch_size": 8, "size": 16, "device": "cpu", "precision": "float32", "bank_views": 2}


def settings(**changes: object) -> DistillSettings:
    return DistillSettings.model_validate({**SMALL, "steps": 8, **changes})


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
    from tgn.kmdn import distill as stage

    kept = {}

    def keep(trainer, *_args, **_kwargs):
        kept["trainer"] = trainer
        raise InterruptedError

    monkeypatch.setattr(stage, "run_steps", keep)
    with pytest.raises(InterruptedError):
        distill(fake_run, settings(), Silent())
    trainer = kept["trainer"]
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
    result = distill(fake_run, settings(schedule=schedule), Silent())
    split, folder = fake_run.split(), fake_run.path / "kmdn"
    assert set(result.rows()) == {"head_net", "tail_net"}
    assert read_json(folder / "accuracy.json")["part"] == "test"
    bank, net = read_bank(folder), load_classifier(folder / "tail.safetensors")
    assert bank.files == [file for file, label in split.train if label in split.tail_classes]
    images = select_classes(split.image_set("train", fake_run.path, 16), split.tail_classes)
    assert torch.equal(bank.labels, images.labels)
    turned = dihedral(to_pm1(images.batch(torch.tensor([2]))), 1)
    torch.testing.assert_close(bank.features[2, 1], net(turned).features[0].half())


def test_resume_equals_one_run(fake_run, in_tmp):
    def weights(steps: int, resume: bool):
        distill(fake_run, settings(steps=steps), Silent(), resume)
        return load_classifier(fake_run.path / "kmdn" / "tail.safetensors").net.conv1.weight.clone()

    from tgn.runtime.checkpoints import load_state
    from tgn.runtime.training_loop import STATE

    whole = weights(8, resume=False)
    state = load_state(fake_run.path / "kmdn" / STATE)
    assert state["step"] == 8
    assert torch.equal(weights(8, resume=True), whole)
    assert torch.equal(weights(8, resume=False), whole)


def test_a_few_steps_learn_the_shapes(fake_run):
    result = distill(fake_run, settings(steps=120, batch_size=24, lr=0.1), Silent())
    assert result.accuracy["tail_net"]["after"]["balanced"] > 0.6
