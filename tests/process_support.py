"""Commands started as several processes of one job, and comparisons of what they wrote."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from classify.cli.main import main as classify_main
from tgn.cli.main import main as tgn_main
from tgn.runtime.errors import UserError
from tgn.runtime.locks import exclusive_writer

TINY = ("--set", "arch=tiny")
COUNTED, ONE_IMAGE = ("d_real", "clip_hits"), 0.07  # shares of a batch of 16
COMMON = ["--device", "cpu", "--set", "precision=float32", "--set", "log_every=1"]


def start_on(processes: int, *command: str, **environment: str) -> list[subprocess.Popen[str]]:
    """Start a command as ``processes`` ranks of one job, as accelerate's launcher would."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    running = []
    for rank in range(processes):
        env = {
            **os.environ,
            **environment,
            "ACCELERATE_USE_CPU": "true",
            "OMP_NUM_THREADS": "1",
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(processes),
            "LOCAL_WORLD_SIZE": str(processes),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
        }
        if processes == 1:
            env = {k: v for k, v in env.items() if k not in ("RANK", "LOCAL_RANK", "WORLD_SIZE")}
        running.append(
            subprocess.Popen(
                [sys.executable, "-m", *command], env=env, stderr=subprocess.PIPE, text=True
            )
        )
    return running


def run_on(processes: int, *command: str, **environment: str) -> None:
    """Run a command as ``processes`` ranks of one job to its end; as one, in this process."""
    if processes == 1:
        run_here(*command, **environment)
        return
    running = start_on(processes, *command, **environment)
    errors = [one.communicate(timeout=300)[1] for one in running]
    assert not any(one.returncode for one in running), errors


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
            {"tgn": tgn_main, "classify": classify_main}[program]()
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
