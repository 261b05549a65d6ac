"""Many trainings, one after another or several at a time, none of them twice."""

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import torch

from classify.training.job import Lesson
from classify.training.settings import TrainSettings
from classify.training.train import METRICS, train_classifier
from tgn.data.runs import Run
from tgn.runtime.files import read_json, write_json
from tgn.runtime.progress import Progress, Silent

RECORD = "made_with.json"


@dataclass(frozen=True)
class Training:
    """One training, and what it is made with: equal records mean equal results."""

    lesson: Lesson
    settings: TrainSettings
    made_with: dict[str, Any]


def run_all(
    run: Run, trainings: Sequence[Training], jobs: int, progress: Progress
) -> Iterator[dict[str, Any]]:
    """Yield the measures of every training, in their order.

    Args:
        run: what they learn from.
        trainings: what is done; one that is there with an equal record is read.
        jobs: how many at a time, each in a process of its own; process k works on GPU k modulo
            their number, or on its share of the cores.
        progress: told of every training.
    """
    if jobs == 1:
        yield from (train_once(run, one, progress) for one in trainings)
        return
    context = multiprocessing.get_context("spawn")
    numbers, gpus = context.Queue(), torch.cuda.device_count()
    for number in range(jobs):
        numbers.put(number)
    progress.start("trainings", len(trainings))
    with ProcessPoolExecutor(jobs, context, _begin, (numbers, jobs, gpus)) as pool:
        try:
            for result in pool.map(_quietly, [(run, one) for one in trainings]):
                progress.advance()
                yield result
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise


def train_once(run: Run, training: Training, progress: Progress) -> dict[str, Any]:
    """Do a training, or read it if it is there."""
    directory = training.lesson.directory
    record, metrics = directory / RECORD, directory / METRICS
    same = record.is_file() and read_json(record) == training.made_with
    if same and metrics.is_file():
        return read_json(metrics)
    metrics.unlink(missing_ok=True)
    write_json(record, training.made_with)
    lesson = replace(training.lesson, resume=same)
    return train_classifier(run, lesson, training.settings, progress)


def _begin(numbers: Any, jobs: int, gpus: int) -> None:
    """Take a GPU before anything here has looked for one, or a share of the cores."""
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    number = numbers.get()
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(number % gpus)
    torch.set_num_threads(max(torch.get_num_threads() // jobs, 1))


def _quietly(work: tuple[Run, Training]) -> dict[str, Any]:
    return train_once(*work, Silent())


def _end_with_the_parent() -> None:
    """Stop as soon as the command was killed; else this would train on, and keep others out."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
