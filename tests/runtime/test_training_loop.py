"""The loop: exact resume, interruption, NaN, and the log that matches the checkpoint."""

import errno
import os
import signal

import pytest
import torch
from tests_support import Warned, damage

from tgn.runtime import training_loop
from tgn.runtime.checkpoints import load_state
from tgn.runtime.devices import Device
from tgn.runtime.errors import DivergedError, UserError
from tgn.runtime.files import append_text, read_json_lines, write_text
from tgn.runtime.progress import Silent
from tgn.runtime.settings import ComputeSettings, LoopSettings
from tgn.runtime.signals import Terminated
from tgn.runtime.training_loop import STATE, Job, run_steps

DEVICE = Device(ComputeSettings(device="cpu", precision="float32"))


class Toy:
    """Linear regression on noise drawn from the global generator of the step."""

    def __init__(self, stop_at=None, error=None):
        torch.manual_seed(0)
        self.net = torch.nn.Linear(4, 1)
        self.optimizer = torch.optim.Adam(self.net.parameters(), 0.1)
        self.stop_at, self.error = stop_at, error

    def train_step(self, step):
        if step == self.stop_at and isinstance(self.error, BaseException):
            raise self.error
        loss = (self.net(torch.randn(8, 4)) - 1).square().mean()
        if step == self.stop_at:
            loss = loss * float("nan")
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss.detach()}

    def state_dict(self):
        return {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state):
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])


def run(toy, folder, steps=10, resume=True, after_step=None):
    settings = LoopSettings(steps=steps, log_every=1, save_every=4)
    run_steps(toy, settings, Job(folder, DEVICE, Silent(), resume), after_step=after_step)
    return toy.net.weight.detach().clone()


def test_resume_equals_one_go_bit_for_bit(tmp_path):
    whole = run(Toy(), tmp_path / "a")
    run(Toy(), tmp_path / "b", steps=6)
    assert torch.equal(run(Toy(), tmp_path / "b"), whole)
    logs = [list(read_json_lines(tmp_path / d / "metrics.jsonl")) for d in "ab"]
    assert logs[0] == logs[1]


@pytest.mark.parametrize(
    ("number", "stopped"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]
)
def test_a_signal_waits_for_the_end_of_its_step(tmp_path, number, stopped):
    class Interrupted(Toy):
        def train_step(self, step):
            if step == 6:
                os.kill(os.getpid(), number)
            return super().train_step(step)

    whole, before = run(Toy(), tmp_path / "a"), signal.getsignal(number)
    with pytest.raises(stopped):
        run(Interrupted(), tmp_path / "b")
    assert signal.getsignal(number) is before
    assert load_state(tmp_path / "b" / STATE)["step"] == 7
    assert torch.equal(run(Toy(), tmp_path / "b"), whole)


def test_a_second_signal_ends_at_once_without_a_checkpoint(tmp_path):
    class Interrupted(Toy):
        def train_step(self, step):
            for _ in range(2 * (step == 6)):
                os.kill(os.getpid(), signal.SIGINT)
            return super().train_step(step)

    with pytest.raises(SystemExit):
        run(Interrupted(), tmp_path)
    assert load_state(tmp_path / STATE)["step"] == 4


def test_an_interrupted_run_saves_and_continues(tmp_path):
    whole = run(Toy(), tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        run(Toy(stop_at=6, error=KeyboardInterrupt()), tmp_path / "b")
    assert torch.equal(run(Toy(), tmp_path / "b"), whole)


def test_a_killed_run_goes_on_from_the_checkpoint_and_drops_lost_lines(tmp_path):
    whole = run(Toy(), tmp_path / "a")
    with pytest.raises(RuntimeError):
        run(Toy(stop_at=6, error=RuntimeError("power cut")), tmp_path / "b")
    assert torch.equal(run(Toy(), tmp_path / "b"), whole)
    steps = [row["step"] for row in read_json_lines(tmp_path / "b" / "metrics.jsonl")]
    assert steps == list(range(1, 11))


def test_nan_stops_with_step_and_name_and_keeps_the_last_checkpoint(tmp_path):
    with pytest.raises(DivergedError, match="step 7: loss became NaN"):
        run(Toy(stop_at=6), tmp_path / "b")
    assert torch.equal(run(Toy(), tmp_path / "b"), run(Toy(), tmp_path / "a"))


def test_no_resume_starts_anew(tmp_path):
    whole = run(Toy(), tmp_path / "a")
    other = Toy(stop_at=99)
    torch.nn.init.zeros_(other.net.weight)
    assert not torch.equal(run(other, tmp_path / "a", resume=False), whole)


def test_a_new_beginning_that_is_killed_does_not_bring_the_old_training_back(tmp_path):
    run(Toy(), tmp_path / "a", steps=7)
    with pytest.raises(RuntimeError):
        run(Toy(stop_at=2, error=RuntimeError()), tmp_path / "a", resume=False)
    seen = []
    run(Toy(), tmp_path / "a", after_step=seen.append)
    assert seen[0] == 1


def test_other_settings_do_not_go_on_with_a_checkpoint(tmp_path):
    run(Toy(), tmp_path / "a", steps=5)
    job = Job(tmp_path / "a", DEVICE, Silent())
    with pytest.raises(UserError, match=r"seed differ\); take those again"):
        run_steps(Toy(), LoopSettings(steps=8, seed=1), job)
    run_steps(Toy(), LoopSettings(steps=8, log_every=2), job)


def test_a_checkpoint_made_from_something_else_is_refused(tmp_path):
    def train(**made_from):
        job = Job(tmp_path / "a", DEVICE, Silent(), made_from=made_from)
        run_steps(Toy(), LoopSettings(steps=5), job)

    train()
    with pytest.raises(UserError, match=r"older version .*\(teacher\); --no-resume"):
        train(teacher="one")
    (tmp_path / "a" / STATE).unlink()
    train(teacher="one")
    with pytest.raises(UserError, match="teacher differ"):
        train(teacher="two")
    train(teacher="one")


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    run(Toy(), tmp_path / "a")
    wider = Toy()
    wider.net = torch.nn.Linear(5, 1)
    with pytest.raises(UserError, match="does not fit these settings"):
        run(wider, tmp_path / "a")


def test_what_after_step_returns_is_logged(tmp_path):
    seen = {3: {"score": 0.5}}
    run(Toy(), tmp_path / "a", after_step=seen.get)
    rows = {row["step"]: row for row in read_json_lines(tmp_path / "a" / "metrics.jsonl")}
    assert rows[3]["score"] == 0.5
    assert "score" not in rows[4]


class Lazy(Toy):
    """Has a penalty at every third step, beginning with the first."""

    lazy_terms = ("penalty",)

    def train_step(self, step):
        terms = super().train_step(step)
        return terms | ({"penalty": torch.tensor(float(step))} if step % 3 == 0 else {})


def test_a_lazy_term_is_logged_at_each_step_that_has_it_also_after_a_resume(tmp_path):
    def logged(folder, *steps):
        for number in steps:
            job = Job(tmp_path / folder, DEVICE, Silent())
            run_steps(Lazy(), LoopSettings(steps=number, log_every=5, save_every=4), job)
        return list(read_json_lines(tmp_path / folder / "metrics.jsonl"))

    rows = logged("a", 11)
    assert [row["step"] for row in rows] == [1, 4, 5, 7, 10, 11]
    assert {row["step"]: row.get("penalty") for row in rows} == {
        1: 0, 4: 3, 5: None, 7: 6, 10: 9, 11: None,
    }  # fmt: skip
    assert [row["step"] for row in rows if "loss" in row] == [5, 10, 11]
    resumed = {row["step"]: row for row in logged("b", 6, 11)}
    assert all(resumed[row["step"]] == row for row in rows)


@pytest.mark.parametrize("how", ["cut short", "one bit"])
def test_a_training_goes_on_from_the_state_before(tmp_path, how):
    whole = run(Toy(), tmp_path / "a")
    run(Toy(), tmp_path / "b", steps=9)  # saved after 4, 8 and 9 steps
    damage(tmp_path / "b" / "state.pt", how)
    assert torch.equal(run(Toy(), tmp_path / "b"), whole)
    damage(tmp_path / "b" / "state.pt", how)
    damage(tmp_path / "b" / "state.before.pt", how)
    with pytest.raises(UserError, match="--no-resume starts anew"):
        run(Toy(), tmp_path / "b")


def logged_steps(folder):
    return [row["step"] for row in read_json_lines(folder / "metrics.jsonl")]


def test_a_new_beginning_clears_the_logs_of_the_old_training(tmp_path):
    def leave(step):
        if step == 2:
            write_text(tmp_path / "alarms.jsonl", '{"step": 2, "class": "a", "text": "x"}\n')
            write_text(tmp_path / "grids" / "0000002.png", "")

    run(Toy(), tmp_path, after_step=leave)
    events = set((tmp_path / "tensorboard").iterdir())
    run(Toy(), tmp_path, steps=3, resume=False)
    assert logged_steps(tmp_path) == [1, 2, 3]
    assert not (tmp_path / "alarms.jsonl").exists()
    assert not list((tmp_path / "grids").iterdir())
    assert events.isdisjoint((tmp_path / "tensorboard").iterdir())


def test_a_step_that_is_run_again_leaves_one_alarm_and_one_grid(tmp_path):
    def alarm(step):
        append_text(tmp_path / "alarms.jsonl", f'{{"step": {step}, "class": "a"}}\n')
        write_text(tmp_path / "grids" / f"{step:07d}.png", "")

    with pytest.raises(RuntimeError):
        run(Toy(stop_at=6, error=RuntimeError("power cut")), tmp_path, after_step=alarm)
    run(Toy(), tmp_path, steps=5, after_step=alarm)
    assert [row["step"] for row in read_json_lines(tmp_path / "alarms.jsonl")] == [1, 2, 3, 4, 5]
    assert len(list((tmp_path / "grids").iterdir())) == 5


@pytest.mark.parametrize("name", ["metrics.jsonl", "alarms.jsonl"])
def test_a_damaged_log_stops_nothing_and_is_said_once(tmp_path, name):
    whole = run(Toy(), tmp_path / "a")
    run(Toy(), tmp_path / "b", steps=6)
    log, rows = tmp_path / "b" / name, ['{"step": 1, "loss": 0.5}', '{"step": 2, "loss": 0.25}']
    broken = ["\0\0", "[1]", '{"loss": 1}', '{"step": "2"}', '{"step": 2, "loss": NaN}', "\x80"]
    log.write_bytes("\n".join([rows[0], *broken, rows[1], '{"step": 3, "lo']).encode("latin-1"))
    progress = Warned()
    settings = LoopSettings(steps=10, log_every=1, save_every=4)
    again = Toy()
    run_steps(again, settings, Job(tmp_path / "b", DEVICE, progress))
    assert torch.equal(again.net.weight, whole)
    assert progress.said == [f"{log} is damaged: 6 of its lines cannot be read and are left out"]
    assert [row["step"] for row in read_json_lines(log)][:2] == [1, 2]


def test_a_file_in_the_place_of_tensorboard_stops_nothing(tmp_path):
    write_text(tmp_path / "tensorboard", "")
    run(Toy(), tmp_path, steps=2)
    assert (tmp_path / "tensorboard").is_dir()


def test_the_split_is_part_of_what_a_checkpoint_is_of_unless_an_older_version_wrote_it(tmp_path):
    def train(**made_from):
        job = Job(tmp_path / "a", DEVICE, Silent(), made_from=made_from)
        run_steps(Toy(), LoopSettings(steps=5), job)

    train(teacher="one")
    train(teacher="one", split="one")
    (tmp_path / "a" / STATE).unlink()
    train(split="one")
    with pytest.raises(UserError, match="split differ"):
        train(split="two")


def test_a_full_disk_names_the_folder_of_tensorboard(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left")  # TensorBoard's writer names no file

    monkeypatch.setattr(training_loop, "SummaryWriter", full)
    with pytest.raises(OSError, match="tensorboard"):
        training_loop.MetricLog(tmp_path, 0, print)
