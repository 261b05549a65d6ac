"""Told to stop by Ctrl-C (SIGINT) or a queue (SIGTERM), the real programs end with 130 and 143.

``tgn distill && tgn train`` then does not go on, and nothing is said in Python's own words.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from process_support import COMMON, TINY, start_on, wait_for

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
ENDLESS = [*COMMON, "--set", "steps=1000000"]
TRAIN = ["classify", "train", "--name", "x", *ENDLESS, *TINY, "--set", "size=16"]
DISTILL = ["tgn", "distill", *ENDLESS, *TINY, "--set", "size=32"]
# Command, and what is there as soon as it works.
VERBS = {
    "distill": (DISTILL, "fake/kmdn/metrics.jsonl"),
    "train": (
        ["tgn", "train", *ENDLESS, "--set", "size=32", "--set", "width=16", "--set", "clip=none"],
        "fake/cdtg/metrics.jsonl",
    ),
    "classify train": (TRAIN, "fake/classify/x/metrics.jsonl"),
    "compare": (
        ["classify", "compare", "--recipes", "ce", *ENDLESS, *TINY, "--set", "size=16"],
        "fake/classify/compare/**/metrics.jsonl",
    ),
    "compare, two at a time": (
        ["classify", "compare", "--recipes", "ce", "--jobs", "2", *ENDLESS, *TINY, "--set=size=16"],
        "fake/classify/compare/**/metrics.jsonl",
    ),
    "generate": (
        ["tgn", "generate", "--class", "all", "--n", "100000", *COMMON[:4]],
        "fake/generated/*/*.png",
    ),
    "split": (["tgn", "split", "large", "--run", "new"], "new/.lock"),
    "demo": (["tgn", "demo"], "demo-data/*/*/*.png"),
}


def start(command: list[str], runs: Path, *options: str) -> subprocess.Popen[str]:
    """Start the real program, also where this process ignores SIGINT (a background job of sh)."""
    environment = {**os.environ, "TGN_RUNS": str(runs), "OMP_NUM_THREADS": "1"}
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, *options, "-m", *command],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def assert_ends(process: subprocess.Popen[str], number: signal.Signals) -> None:
    process.send_signal(number)
    try:
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == CODES[number], errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("number", CODES)
@pytest.mark.parametrize("program", ["tgn", "classify"])
def test_a_signal_while_a_program_starts(program, number, tmp_path):
    process = start([program, "train", "--run", "none"], tmp_path, "-X", "importtime")
    assert any(" typer." in line for line in process.stderr)  # a line for each import
    assert_ends(process, number)


@pytest.mark.parametrize("number", CODES)
def test_a_training_saves_and_ends(number, fake_run):
    (rank,) = start_on(1, *TRAIN)
    folder = fake_run.path / "classify" / "x"
    wait_for((folder / "metrics.jsonl").is_file)
    os.kill(rank.process.pid, number)
    code, errors = rank.wait(60)
    assert code == CODES[number], errors
    assert "the same command continues from there" in errors
    assert "Traceback" not in errors
    assert (folder / "state.pt").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("number", CODES)
@pytest.mark.parametrize("verb", VERBS)
def test_every_long_verb_in_the_midst_of_its_work(verb, number, trained, fake_folder):
    command, working = VERBS[verb]
    if verb == "split":
        (trained.path.parents[1] / "data").rename("small")
        fake_folder({"a": 3000, "b": 2000}).rename("large")
    runs = trained.path.parent
    for old in ("kmdn", "cdtg"):  # of the fixture
        (runs / "fake" / old / "metrics.jsonl").unlink(missing_ok=True)
        (runs / "fake" / old / "state.pt").unlink(missing_ok=True)
    process = start(command, runs)
    try:
        wait_for(lambda: process.poll() is not None or any(runs.glob(working)))
    except AssertionError:
        process.kill()
        raise
    assert_ends(process, number)


@pytest.mark.slow
@pytest.mark.parametrize("after", [0.3, 1, 1.5, 2, 2.5, 3, 3.5])
@pytest.mark.parametrize("number", CODES)
def test_a_signal_while_a_verb_imports(after, number, fake_run):
    process = start(DISTILL, fake_run.path.parent)
    time.sleep(after)
    assert_ends(process, number)
