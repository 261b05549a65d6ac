"""The one loop all training goes through: steps, logs, checkpoints, resume, interruption."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.utils.tensorboard import SummaryWriter

from tgn.runtime.checkpoints import before, load_state, save_state
from tgn.runtime.devices import Device
from tgn.runtime.errors import (
    DamagedError,
    DivergedError,
    LostProcessError,
    NotFoundError,
    UserError,
)
from tgn.runtime.explanations import written_to
from tgn.runtime.locks import exclusive_writer
from tgn.runtime.logs import BOARD, METRICS, as_lines, keep_until
from tgn.runtime.progress import Progress, Silent
from tgn.runtime.seeds import seed_of
from tgn.runtime.settings import LoopSettings
from tgn.runtime.signals import STOPPED, stops_between_steps

STATE = "state.pt"
# What may change before a resume.
MAY_CHANGE = ("steps", "epochs", "log_every", "save_every", "device", "precision")
MAY_LACK = ("split",)  # of what it was made from, in a state of an older version
TRANSPORTS = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer")


class Trainer(Protocol):
    """What the loop drives.

    A trainer may have an attribute ``lazy_terms``: names of terms that only some steps have, such
    as a penalty of every 16th step. They are logged at each step that has them. It may have a
    method ``is_finished``: asked on every process with the number of finished steps, after each
    step and before the first, whether training ends early.
    """

    def train_step(self, step: int) -> Mapping[str, torch.Tensor]:
        """Do optimisation step number ``step`` (from 0) and return scalar terms to log."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything a bit-exact continuation needs."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned."""


class MetricLog:
    """``metrics.jsonl`` and TensorBoard of one stage; on resume, what lost steps logged goes."""

    def __init__(self, directory: Path, first_step: int, warn: Callable[[str], None]) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        for damage in keep_until(directory, first_step):
            warn(damage)
        self.path = directory / METRICS
        self.path.touch()
        purge = first_step + 1 if first_step else None
        self._board_folder = directory / BOARD
        with written_to(self._board_folder):
            self.board = SummaryWriter(str(self._board_folder), purge_step=purge)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append one line; ``step`` counts finished steps."""
        with written_to(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(as_lines([{"step": step, **values}]))
        with written_to(self._board_folder):
            for name, value in values.items():
                self.board.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush TensorBoard."""
        with written_to(self._board_folder):
            self.board.close()


AfterStep = Callable[[int], Mapping[str, float] | None]


@dataclass(frozen=True)
class Job:
    """Where a stage works: its folder, device and audience."""

    directory: Path  # gets state.pt, metrics.jsonl and tensorboard/
    device: Device
    progress: Progress
    resume: bool = True  # continue from state.pt if there is one, else start anew
    made_from: Mapping[str, Any] = field(default_factory=dict)  # beside settings, as JSON has it

    def alone(self) -> AbstractContextManager[None]:
        """Keep other programs out of the folder; may be nested."""
        return exclusive_writer(self.directory) if self.device.is_main else nullcontext()


def run_steps(
    trainer: Trainer,
    settings: LoopSettings,
    job: Job,
    title: str = "train",
    after_step: AfterStep | None = None,
) -> None:
    """Train until ``settings.steps`` steps are done.

    Every step's randomness is seeded by (seed, step), so N + M steps equal N steps, a resume and
    M more. A checkpoint is written every ``save_every`` steps, and after the step in which the
    process is interrupted (Ctrl-C) or asked to end (SIGTERM).

    Args:
        trainer: does the steps.
        settings: length and intervals.
        job: folder, device, audience.
        title: what the progress is called.
        after_step: called with the count of finished steps on the main process, e.g. for grids
            and validation; what it returns is logged with that step.

    Raises:
        DivergedError: when a logged term is NaN or infinite; the last checkpoint stays.
        LostProcessError: if another process of the job is gone.
        UserError: if another process trains there, or the checkpoint is of something else.
    """
    with job.alone(), _clear_about_lost_processes(job), stops_between_steps() as stop_if_told:
        _run_steps(trainer, settings, job, title, after_step, stop_if_told)


@contextmanager
def _clear_about_lost_processes(job: Job) -> Iterator[None]:
    """Say in words what the transport says in file names and line numbers."""
    try:
        yield
    except RuntimeError as error:
        if job.device.processes > 1 and any(word in str(error) for word in TRANSPORTS):
            raise LostProcessError(
                f"another of the {job.device.processes} processes is gone; the last checkpoint in "
                f"{job.directory} is whole, and the same command continues from there"
            ) from None
        raise


def _run_steps(
    trainer: Trainer,
    settings: LoopSettings,
    job: Job,
    title: str,
    after_step: AfterStep | None,
    stop_if_told: Callable[[], None],
) -> None:
    progress = job.progress if job.device.is_main else Silent()
    done = _resume(trainer, job, settings, progress) if job.resume else _forget(job)
    log = MetricLog(job.directory, done, progress.warn) if job.device.is_main else None
    lazy_terms: Sequence[str] = getattr(trainer, "lazy_terms", ())
    progress.start(title, settings.steps, done)
    try:
        over = _is_over(trainer, settings, done)
        while not over:
            torch.manual_seed(seed_of(settings.seed, "step", done))
            terms = trainer.train_step(done)
            done += 1
            extra = (after_step(done) if after_step and log else None) or {}
            over = _is_over(trainer, settings, done)
            values = _mean(_due(terms, lazy_terms, done, settings), done, job.device)
            if log and (values or extra):
                progress.advance(0, _in_words(extra or _without(lazy_terms, values)))
                log.write(done, {**values, **extra})
            progress.advance()
            if log and (over or done % settings.save_every == 0):
                _save(trainer, job, settings, done)
            stop_if_told()
    except STOPPED:
        if log:
            _save(trainer, job, settings, done)
        progress.warn(f"interrupted after {done} steps; the same command continues from there")
        raise
    finally:
        if log:
            log.close()


def _without(names: Sequence[str], values: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if name not in names}


def _in_words(values: Mapping[str, float]) -> str:
    return " ".join(f"{name} {value:.3g}" for name, value in values.items())


def _is_over(trainer: Trainer, settings: LoopSettings, done: int) -> bool:
    """Return whether no step is left, or the trainer needs no more."""
    is_finished = getattr(trainer, "is_finished", None)
    return done >= settings.steps or (is_finished is not None and is_finished(done))


def _due(
    terms: Mapping[str, torch.Tensor], lazy_terms: Sequence[str], done: int, settings: LoopSettings
) -> Mapping[str, torch.Tensor]:
    """Return the terms to log after a step: all now and then, lazy ones whenever they are there."""
    if done % settings.log_every == 0 or done == settings.steps:
        return terms
    return {name: term for name, term in terms.items() if name in lazy_terms}


def _mean(terms: Mapping[str, torch.Tensor], step: int, device: Device) -> dict[str, float]:
    """Return the means over all processes of what is logged, after checking them."""
    values = device.mean(terms) if terms else {}
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad:
        raise DivergedError(
            f"step {step}: {', '.join(bad)} became NaN or infinite; the last checkpoint is kept. "
            "Lower the learning rate (--set lr=...) or use --set precision=float32"
        )
    return values


def _save(trainer: Trainer, job: Job, settings: LoopSettings, done: int) -> None:
    state = {
        "step": done,
        "settings": settings.model_dump_json(exclude=set(MAY_CHANGE)),
        "made_from": json.dumps(job.made_from),
        "trainer": trainer.state_dict(),
    }
    save_state(job.directory / STATE, state)


def _forget(job: Job) -> int:
    """Delete the checkpoint of a training that begins anew: a kill would bring it back."""
    if job.device.is_main:
        for path in (job.directory / STATE, before(job.directory / STATE)):
            path.unlink(missing_ok=True)
    job.device.wait()
    return 0


def _resume(trainer: Trainer, job: Job, settings: LoopSettings, progress: Progress) -> int:
    path = job.directory / STATE
    state = whole_state(path, progress)
    if state is None:
        return 0
    check_same(state, settings, job.made_from, path)
    try:
        trainer.load_state_dict(state["trainer"])
    except (KeyError, RuntimeError, ValueError) as error:
        raise UserError(
            f"{path} does not fit these settings ({' '.join(str(error).split())[:200]}); use the "
            "settings it was made with, or --no-resume to start anew"
        ) from None
    return min(int(state["step"]), settings.steps)


def whole_state(path: Path, progress: Progress) -> dict[str, Any] | None:
    """Read the last state that is whole; None if nothing was ever written."""
    damaged = []
    for candidate in (path, before(path)):
        try:
            state = load_state(candidate)
        except NotFoundError:
            continue
        except DamagedError as error:
            damaged.append(candidate)
            progress.warn(f"{error}; going on with the one before, if there is one")
            continue
        for useless in damaged:  # or the next save would put it in the place of the good one
            useless.unlink(missing_ok=True)
        return state
    if damaged:
        raise UserError(f"{path} is damaged and there is none before it; --no-resume starts anew")
    return None


def check_same(
    state: dict[str, Any], settings: LoopSettings, made_from: Mapping[str, Any], path: Path
) -> None:
    """Refuse to go on with other settings, data or networks: the result would be of neither.

    A state that lacks an entry of ``made_from`` (an older version wrote it) is refused too: it may
    be of another teacher or tail net, and what is saved would name today's. The split is taken for
    the one there is: it seldom changes, and many states lack it.

    Args:
        state: what :func:`whole_state` returned.
        settings: that are wanted now.
        made_from: likewise.
        path: of the state, to be named.
    """
    wanted = settings.model_dump(mode="json", exclude=set(MAY_CHANGE)), made_from
    read = settings.with_new_names(json.loads(state["settings"]))
    recorded = {name: value for name, value in read.items() if name not in MAY_CHANGE}
    may_lack = {key: made_from[key] for key in MAY_LACK if key in made_from}
    recorded_from = {**may_lack, **json.loads(state.get("made_from", "{}"))}
    if missing := sorted(made_from.keys() - recorded_from.keys()):
        raise UserError(
            f"{path} is of an older version and does not say what it was made from "
            f"({', '.join(missing)}); --no-resume starts anew, or take another --name or --run"
        )
    before = recorded, recorded_from
    pairs = zip(before, wanted, strict=True)
    changed = sorted(
        key for was, now in pairs for key in {*was, *now} if was.get(key) != now.get(key)
    )
    if changed:
        raise UserError(
            f"{path} was made with other settings ({', '.join(changed)} differ); take those again, "
            "or another --name or --run, or --no-resume to start anew"
        )
