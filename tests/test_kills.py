"""Killed with SIGKILL at random moments and started again, each long verb ends where it would have.

Opt-in: pytest -m faults. TGN_KILLS says how often (20).
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tgn.runtime.files import sha256_of

KILLS = int(os.environ.get("TGN_KILLS", "20"))
TINY = ("--set", "arch=tiny")
COMMON = ["--device", "cpu", "--set", "precision=float32", "--set", "log_every=1"]
STEPS = ["--set", "save_every=3", "--set", "batch_size=16"]
VERBS = {
    "classify train": (
        ["classify", "train", "--name", "x", *COMMON, *STEPS, *TINY, "--set", "size=16",
         "--set", "steps=60", "--set", "method=t2fts"],
        "classify/x/**/classifier.safetensors",
    ),
    "tgn distill": (
        ["tgn", "distill", *COMMON, *STEPS, *TINY, "--set", "size=32", "--set", "steps=60",
         "--set", "bank_views=2"],
        "kmdn/*.safetensors",
    ),
    "tgn train": (
        ["tgn", "train", *COMMON, *STEPS, "--set", "size=32", "--set", "width=16",
         "--set", "steps=20", "--set", "clip_steps=5"],
        "cdtg/*.safetensors",
    ),
    "tgn generate": (
        ["tgn", "generate", "--class", "all", "--n", "1500", "--device", "cpu",
         "--set", "precision=float32"],
        "generated/**/*.*",
    ),
    "tgn generate, shards": (
        ["tgn", "generate", "--class", "all", "--n", "1500", "--device", "cpu",
         "--set", "precision=float32", "--set", "format=webdataset", "--set", "block=16"],
        "generated/**/*.*",
    ),
}  # fmt: skip
pytestmark = pytest.mark.faults


def start(command: list[str], runs: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "TGN_RUNS": str(runs), "OMP_NUM_THREADS": "1"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "-m", *command], env=environment, **quiet)


def finish(command: list[str], runs: Path) -> float:
    began = time.monotonic()
    assert start(command, runs).wait(timeout=600) == 0
    return time.monotonic() - began


def sums(runs: Path, pattern: str) -> dict[str, str]:
    files = sorted(path for path in (runs / "fake").glob(pattern) if path.is_file())
    return {
        str(path.relative_to(runs)): sha256_of(path) for path in files if ".lock" not in path.name
    }


@pytest.fixture
def prepared(in_tmp, fake_folder):
    """Return a maker of equal runs, as far as a verb needs them."""
    data = fake_folder({"square": 24, "disc": 12, "bar": 6, "cross": 4})

    def make(name: str, verb: str) -> Path:
        runs = in_tmp / name
        finish(["tgn", "split", str(data), "--run", "fake", "--set", "val_fraction=0"], runs)
        for before in ("tgn distill", "tgn train"):
            if verb == before or verb == "classify train":
                break
            finish(VERBS[before][0], runs)
        return runs

    return make


@pytest.mark.parametrize("verb", VERBS)
def test_a_killed_verb_ends_as_an_undisturbed_one(prepared, verb):
    command, pattern = VERBS[verb]
    calm, shaken = prepared("calm", verb), prepared("shaken", verb)
    seconds = finish(command, calm)
    moments = random.Random(verb)
    for _ in range(KILLS):
        running = start(command, shaken)
        time.sleep(moments.uniform(0.2, 1.0) * seconds)
        running.kill()
        running.wait()
    finish(command, shaken)
    assert sums(shaken, pattern) == sums(calm, pattern) != {}
