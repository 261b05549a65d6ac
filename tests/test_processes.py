"""Two processes do what one does: the same losses, images and scores from the same global batch."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tgn.runtime.checkpoints import load_state
from tgn.runtime.errors import UserError
from tgn.runtime.files import read_json, sha256_of
from tgn.runtime.locks import exclusive_writer

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
    """Run a command as ``processes`` ranks of one job to its end."""
    running = start_on(processes, *command, **environment)
    said = [one.communicate(timeout=300)[1] for one in running]
    assert not any(one.returncode for one in running), said


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


@pytest.mark.parametrize(
    "changes",
    [
        ["--set", "mixing=mixup", "--set", "loss=balanced-softmax"],
        ["--set", "method=t2fts", "--set", "steps=3"],
    ],
)
def test_a_classifier_learns_alike(fake_run, changes):
    base = ["--set", "steps=5", "--set", "size=16", "--set", "batch_size=16", *changes]
    for processes in (1, 2):
        words = ["train", "--name", f"on{processes}", *COMMON, *base]
        run_on(processes, "classify", *words)
    folder = fake_run.path / "classify"
    assert_same_curve(folder / "on1" / "metrics.jsonl", folder / "on2" / "metrics.jsonl")


def test_the_pipeline_on_two_processes_is_that_on_one(fake_run, tmp_path):
    small = ["--set", "steps=4", "--set", "batch_size=16"]
    for processes, root in ((2, "two"), (1, "runs")):
        runs = tmp_path / root
        if root == "two":
            run_on(
                1,
                "tgn",
                "split",
                str(tmp_path / "data"),
                "--run",
                "fake",
                "--set",
                "val_fraction=0",
                TGN_RUNS=str(runs),
            )
        where = {"TGN_RUNS": str(runs)}
        run_on(processes, "tgn", "distill", *COMMON, *small, "--set", "bank_views=2", **where)
        run_on(processes, "tgn", "train", *COMMON, *small, "--set", "clip_steps=2", **where)
    for processes, root in ((1, "two"), (2, "runs")):  # on with the other number of processes
        longer = [*small, "--set", "clip_steps=2", "--set", "steps=6"]
        run_on(processes, "tgn", "train", *COMMON, *longer, TGN_RUNS=str(tmp_path / root))
    one, two = tmp_path / "runs" / "fake", tmp_path / "two" / "fake"
    assert_same_curve(one / "kmdn" / "metrics.jsonl", two / "kmdn" / "metrics.jsonl")
    # Adam without momentum makes steps of rounding errors, so the curves part a little sooner.
    assert_same_curve(one / "cdtg" / "metrics.jsonl", two / "cdtg" / "metrics.jsonl", 2e-2)
    for processes in (1, 2):
        words = ["--class", "all", "--n", "70", "--out", str(tmp_path / f"made{processes}")]
        run_on(processes, "tgn", "generate", *COMMON[:4], *words)
        shards = ["--out", str(tmp_path / f"shards{processes}"), "--set", "format=webdataset"]
        run_on(processes, "tgn", "generate", *COMMON[:4], *words[:4], *shards)
    rows = [(tmp_path / f"made{n}" / "manifest.jsonl").read_text() for n in (1, 2)]
    assert rows[0] == rows[1]
    assert len(rows[0].splitlines()) == 3 * 70
    for line in rows[1].splitlines()[::20]:
        row = json.loads(line)
        assert sha256_of(tmp_path / "made2" / row["file"]) == row["sha256"]
    tars = sorted((tmp_path / "shards1").glob("*.tar"))
    assert [sha256_of(tmp_path / "shards2" / tar.name) for tar in tars] == list(
        map(sha256_of, tars)
    )
    found = []
    for processes in (1, 2):
        shutil.rmtree(one / "scores", ignore_errors=True)  # and the features in it
        run_on(processes, "tgn", "score", str(tmp_path / "made1"), "--device", "cpu")
        (file,) = (one / "scores").glob("made1*tail.json")
        found.append(read_json(file))
        file.unlink()
    assert found[0] == found[1]


def test_diffusion_on_two_processes_is_that_on_one(fake_run, tmp_path):
    small = ["--set", "steps=4", "--set", "batch_size=16"]
    run_on(1, "tgn", "distill", *COMMON, *small, "--set", "bank_views=2")
    trained, curves = fake_run.path / "diffusion" / "metrics.jsonl", {}
    for processes in (2, 1):
        words = ["--backend", "diffusion", "--no-resume", "--set", "width=16"]
        run_on(processes, "tgn", "train", *COMMON, *small, *words)
        curves[processes] = tmp_path / f"on{processes}.jsonl"
        shutil.copy(trained, curves[processes])
    assert_same_curve(curves[1], curves[2])
    quick = ["--device", "cpu", "--set", "block=4", "--set", "sampling_steps=2", "--n", "6"]
    for processes in (1, 2):
        out = ["--class", "all", "--out", str(tmp_path / f"drawn{processes}")]
        run_on(processes, "tgn", "generate", *quick, *out)
    one, two = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*.png")}
        for root in (tmp_path / "drawn1", tmp_path / "drawn2")
    )
    assert len(one) == 6 * len(fake_run.split().tail_classes)
    assert one == two


def test_a_taught_detector_on_two_processes_is_that_on_one(in_tmp):
    drawn = ["--set", "train=4", "--set", "test=1", "--set", "size=128"]
    run_on(1, "tgn", "scenes", "drawn", "--boxes", "rotated", *drawn)
    part = [f"drawn/train/{x}" for x in ("labelTxt", "images")]
    data = [*part, "--test", *part]
    small = ["--set", "detector=gfl", "--set", "width=32", "--set", "size=128", "--set", "steps=3"]
    run_on(1, "classify", "detect", "train", *data, *COMMON, *small, "--name", "teacher")
    for processes in (1, 2):
        taught = ["--distill", "ld+kd", "--teacher", "teacher", "--name", f"on{processes}"]
        run_on(processes, "classify", "detect", "train", *data, *COMMON, *small, *taught)
    folder = in_tmp / "runs" / "detect"
    assert_same_curve(folder / "on1" / "metrics.jsonl", folder / "on2" / "metrics.jsonl", 5e-3)


def test_a_batch_that_cannot_be_dealt_out_is_an_error(fake_run):
    with pytest.raises(AssertionError, match="cannot be dealt out to 2 processes"):
        run_on(2, "classify", "train", *COMMON, "--set", "batch_size=15", "--set", "size=16")


def test_a_killed_process_ends_the_job_and_leaves_a_whole_checkpoint(fake_run):
    words = ["--set", "steps=4000", "--set", "size=16", "--set", "batch_size=16", "--name", "x"]
    running = start_on(2, "classify", "train", *COMMON, *words, "--set", "save_every=5")
    state = fake_run.path / "classify" / "x" / "state.pt"
    wait_for(state.is_file)
    running[1].kill()
    running[1].communicate()
    _, said = running[0].communicate(timeout=120)
    assert running[0].returncode == 2, said
    assert "another of the 2 processes is gone" in said
    assert load_state(state)["step"] >= 5


def test_trainings_side_by_side_end_with_their_command(fake_run):
    words = ["--recipes", "ce,balanced", "--seeds", "1", "--jobs", "2", "--device", "cpu"]
    long = ["--set", "steps=100000", "--set", "save_every=2", "--set", "size=16"]
    (command,) = start_on(1, "classify", "compare", *words, *long)
    folder = fake_run.path / "classify" / "compare"
    wait_for(lambda: len(list(folder.glob("*/state.pt"))) == 2)
    command.kill()
    command.communicate()
    wait_for(lambda: all(is_free(place) for place in folder.iterdir()))


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
