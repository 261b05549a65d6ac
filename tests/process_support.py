"""Commands started as several processes of one job, and comparisons of what they wrote."""

import json
import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch

from classify.cli.main import main as classify_main
from tgn.cli.main import main as tgn_main
from tgn.runtime.errors import UserError
from tgn.runtime.files import read_json_lines
from tgn.runtime.locks import exclusive_writer

TINY = ("--set", "arch=tiny")
PROGRAMS = {"tgn": tgn_main, "classify": classify_main}
PRELOADED = [  # what ranks import, and its imports
    "pytest", "timm", "torch.utils.tensorboard", "classify.detection.training.train",
    "classify.training.train", "tgn.generation.cdtg.train", "tgn.generation.diffusion.train",
    "tgn.generation.image_writer", "tgn.kmdn.distill", "tgn.scoring.score",
]  # fmt: skip
COUNTED, ONE_IMAGE = ("d_real", "clip_hits"), 0.07  # shares of a batch of 16
JUDGED = ("agreement", "own_source", "recall", "separable", "energy")  # shares of few images
COMMON = ["--device", "cpu", "--set", "precision=float32", "--set", "log_every=1"]


@dataclass
class Rank:
    """One process of a job, and what it says on stderr."""

    process: BaseProcess
    stderr: Path

    def wait(self, seconds: float = 300) -> tuple[int, str]:
        """Return the exit code and stderr of the rank when it has ended; kill it after a time."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.process.kill()  # else pytest would wait for it at its end
            raise TimeoutError(self.stderr.read_text())
        return self.process.exitcode, self.stderr.read_text()


def start_on(processes: int, *command: str, **environment: str) -> list[Rank]:
    """Start a command as ``processes`` ranks of one job, as accelerate's launcher would.

    The ranks are forks of one process that has imported the packages, which takes seconds.
    Call this in a folder of the test's own: stderr of the ranks is kept there.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    running = []
    for rank in range(processes):
        variables = {
            **os.environ,
            **environment,
            "ACCELERATE_USE_CPU": "true",
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(processes),
            "LOCAL_WORLD_SIZE": str(processes),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
        }
        stderr = Path.cwd() / f"stderr-{port}-{rank}"
        process = _fork_server().Process(target=_rank, args=(command, variables, stderr))
        process.start()
        running.append(Rank(process, stderr))
    return running


def run_on(processes: int, *command: str, **environment: str) -> None:
    """Run a command as ``processes`` ranks of one job to its end; as one, in this process."""
    if processes == 1:
        run_here(*command, **environment)
        return
    ended = [rank.wait() for rank in start_on(processes, *command, **environment)]
    assert not any(code for code, _ in ended), [errors for _, errors in ended]


@cache
def _fork_server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        forkserver.ensure_running()
    return context


def _rank(command: tuple[str, ...], variables: dict[str, str], stderr: Path) -> None:
    """Run a command as one rank, in the process that :func:`start_on` forks."""
    os.environ.clear()
    os.environ.update(variables)
    os.fsync = lambda _: None  # as in conftest.py
    os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT), 2)
    sys.argv = list(command)
    PROGRAMS[command[0]]()


def run_here(program: str, *arguments: str, **environment: str) -> None:
    """Run a command in this process, which has imported PyTorch, on one thread as a rank does."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [program, *arguments])
        for name, value in environment.items():
            patch.setenv(name, value)
        torch.set_num_threads(1)
        code: object = 0
        try:
            PROGRAMS[program]()
        except SystemExit as end:
            code = end.code
        finally:
            torch.set_num_threads(threads)
    assert not code


def curve(file: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def assert_same_curve(one: Path, two: Path, tolerance: float = 2e-3) -> None:
    first, second = curve(one), curve(two)
    assert len(first) == len(second) > 0
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        for name, value in a.items():
            within = ONE_IMAGE if name in COUNTED else tolerance
            assert b[name] == pytest.approx(value, rel=tolerance, abs=within), (name, a, b)


def is_free(folder: Path) -> bool:
    try:
        with exclusive_writer(folder):
            return True
    except UserError:
        return False


def wait_for(done: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not done():
        assert time.monotonic() - began < 120
        time.sleep(0.2)


def without_shares(file):
    """Return a copy of a log without the judge's figures: shares of few images, which jump."""
    kept = [
        {name: value for name, value in row.items() if not name.startswith(JUDGED)}
        for row in read_json_lines(file)
    ]
    copy = file.with_suffix(".losses.jsonl")
    copy.write_text("".join(json.dumps(row) + "\n" for row in kept))
    return copy
