"""Many trainings, one after another or several at a time; finished ones are not repeated."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from classify.comparison.costs import recorded_cost
from classify.comparison.settings import ZeroShotSettings
from classify.comparison.zero_shot import evaluate_zero_shot
from classify.probe.settings import ProbeSettings
from classify.probe.train import ProbeJob, train_probe
from classify.training.job import TrainingJob
from classify.training.layout import METRICS
from classify.training.settings import TrainSettings
from classify.training.train import train_classifier
from classify.training.written import read_trained
from tgn.data.made_from import SPLIT, same_sources, split_sha256
from tgn.data.manifest import fingerprint
from tgn.data.runs import Run
from tgn.runtime.errors import UserError
from tgn.runtime.files import read_json, write_json
from tgn.runtime.progress import Progress, Silent
from tgn.runtime.signals import STOPPED, Terminated, stops_are_exceptions

RECORD = "made_with.json"

_told_to_stop: list[int] = []  # of a worker: the signals that it has got


@dataclass(frozen=True)
class PlannedTraining:
    """A training, or a probe, and its record: equal records mean equal results."""

    job: TrainingJob
    settings: TrainSettings
    made_with: dict[str, Any]  # as JSON; "settings" and digests of all other inputs
    probe: ProbeSettings | None = None  # if given, a probe is fitted in place of a training
    zero_shot: ZeroShotSettings | None = None  # if given, CLIP is tested in place of a training


def run_sweep(
    run: Run, trainings: Sequence[PlannedTraining], workers: int, progress: Progress
) -> Iterator[dict[str, Any]]:
    """Yield the metrics of every training, in their order.

    Args:
        run: the data.
        trainings: what to train; the metrics of a finished one with an equal record are read.
        workers: trainings at a time, each in a process of its own; process k works on GPU k modulo
            their number, or on its share of the cores.
        progress: shows every training.
    """
    if workers == 1:
        yield from (train_once(run, one, progress) for one in trainings)
        return
    context = multiprocessing.get_context("spawn")
    numbers, gpus = context.Queue(), torch.cuda.device_count()
    for number in range(workers):
        numbers.put(number)
    progress.start("trainings", len(trainings))
    with ProcessPoolExecutor(workers, context, _begin, (numbers, workers, gpus)) as pool:
        try:
            for result in pool.map(_train_silently, [(run, one) for one in trainings]):
                progress.advance()
                yield result
        except STOPPED:
            for worker in multiprocessing.active_children():
                worker.terminate()  # it saves what it has trained
            pool.shutdown(cancel_futures=True)
            raise


def train_once(run: Run, training: PlannedTraining, progress: Progress) -> dict[str, Any]:
    """Train and return the metrics, or read them if the same training is finished."""
    directory = training.job.directory
    record, metrics = directory / RECORD, directory / METRICS
    _check_images(run, training)
    recorded = _recorded(record)
    if metrics.is_file() and same_sources(recorded, training.made_with):
        return read_trained(directory)
    same = recorded == training.made_with
    if {**training.made_with, **_sources(recorded)} != training.made_with:
        progress.warn(f"{directory.name} begins anew: it was of another split or other images")
    metrics.unlink(missing_ok=True)
    write_json(record, training.made_with)
    with recorded_cost(directory, goes_on=same):
        if training.zero_shot is not None:
            return evaluate_zero_shot(run, directory, training.zero_shot, progress)
        if training.probe is not None:
            ratio = training.settings.generated_ratio
            probe_job = ProbeJob(directory, training.job.augmented, ratio)
            return train_probe(run, probe_job, training.probe, progress)
        job = replace(training.job, resume=same)
        return train_classifier(run, job, training.settings, progress)


def _sources(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Return of which images a record is, as far as it says."""
    return {key: recorded[key] for key in ("generated", SPLIT) if key in recorded}


def _check_images(run: Run, training: PlannedTraining) -> None:
    """Refuse to go on with images that have been replaced since the comparison was planned.

    Raises:
        UserError: if they have; one table of old and new images would say nothing.
    """
    split, folder, planned = run.split(), training.job.augmented, training.made_with
    images = fingerprint(folder, split) if folder is not None else planned["generated"]
    if (images, split_sha256(split)) != (planned["generated"], planned[SPLIT]):
        raise UserError(
            f"the split or the generated images of {run.name} were changed while they were "
            "compared; run the same command again: it repeats the trainings of the old ones"
        )


def _recorded(record: Path) -> dict[str, Any]:
    """Read a record, also one of an older version, under today's names of the settings."""
    if not record.is_file():
        return {}
    made_with = read_json(record)
    return {**made_with, "settings": TrainSettings.with_new_names(made_with.get("settings", {}))}


def _begin(numbers: Any, workers: int, gpus: int) -> None:
    """Choose this process's GPU before anything here uses one, or its share of the cores.

    Its group is its own, so that it is told to stop once, by the process that began it.
    """
    os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, _note_or_end)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    number = numbers.get()
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(number % gpus)
    torch.set_num_threads(max(torch.get_num_threads() // workers, 1))


def _train_silently(work: tuple[Run, PlannedTraining]) -> dict[str, Any]:
    if _told_to_stop:  # the pool has handed out the next work already
        raise KeyboardInterrupt
    try:
        with stops_are_exceptions():
            return train_once(*work, Silent())
    except Terminated as stop:
        _told_to_stop.append(int(signal.SIGTERM))
        raise KeyboardInterrupt from stop
    except SystemExit:  # of a second signal: the pool, which has lost a worker, ends the others
        os._exit(128 + signal.SIGTERM)


def _note_or_end(number: int, _: object) -> None:
    """Between two trainings: note the first signal, end at the second."""
    if _told_to_stop:
        os._exit(128 + number)
    _told_to_stop.append(number)


def _exit_with_parent() -> None:
    """Exit as soon as the command was killed: otherwise this process would go on training."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
