"""Two processes train classifiers and detectors as one does, and end together."""

import os
import subprocess
import sys

import pytest
from process_support import COMMON, TINY, assert_same_curve, is_free, run_on, start_on, wait_for
from tests_support import write_generated

from tgn.runtime.checkpoints import load_state

FINE_TUNED = [  # timm's normalisations hold their activations; every kind of randomness
    word
    for setting in (
        "arch=tf_efficientnet_lite0", "weights=none", "optimizer=adamw", "augmentation=trivial",
        "smallest_crop=0.5", "mixed_sizes=32,48", "layer_decay=0.8", "size=32", "steps=2",
    )
    for word in ("--set", setting)
]  # fmt: skip
SGD = ("--set", "optimizer=sgd")  # under Adam, rounding decides the sign of a small gradient


@pytest.mark.parametrize(
    "changes",
    [
        ["--set", "mixing=mixup", "--set", "loss=balanced-softmax"],
        ["--set", "mixing=cmo", "--set", "cmo.probability=1"],
        ["--set", "method=t2fts", "--set", "steps=2"],
        ["--augmented", "--set", "generated_use=blended", "--set", "mixing=mixup"],
        FINE_TUNED,
    ],
)
def test_a_classifier_learns_alike(fake_run, changes):
    write_generated(fake_run, label=3, count=12)
    base = [*TINY, "--set", "steps=5", "--set", "size=16", "--set", "batch_size=16", *changes]
    for processes in (1, 2):
        words = ["train", "--name", f"on{processes}", *COMMON, *base]
        run_on(processes, "classify", *words)
    folder = fake_run.path / "classify"
    assert_same_curve(folder / "on1" / "metrics.jsonl", folder / "on2" / "metrics.jsonl")


def test_a_taught_detector_on_two_processes_is_that_on_one(in_tmp):
    drawn = ["--set", "train=4", "--set", "test=1", "--set", "size=128"]
    run_on(1, "tgn", "scenes", "drawn", "--boxes", "rotated", *drawn)
    part = [f"drawn/train/{x}" for x in ("labelTxt", "images")]
    data = [*part, "--test", *part]
    small = [*SGD, "--set", "detector=gfl", "--set", "fpn_channels=32", "--set", "size=128"]
    teacher = ["--set", "steps=1", "--name", "teacher"]
    run_on(1, "classify", "detect", "train", *data, *COMMON, *small, *teacher)
    # No look gains on the first, so that all processes end together after two of four steps.
    chosen = ["--validation", *part, "--set", "patience=1"]
    for one in ("epochs=4", "batch_size=2", "accumulation=2", "short_sides=[64,96]", "mosaic=0.5"):
        chosen += ["--set", one]
    for processes in (1, 2):
        taught = ["--distill", "ld+kd", "--teacher", "teacher", "--name", f"on{processes}"]
        run_on(processes, "classify", "detect", "train", *data, *COMMON, *small, *taught, *chosen)
    folder = in_tmp / "runs" / "detect"
    assert_same_curve(folder / "on1" / "metrics.jsonl", folder / "on2" / "metrics.jsonl", 5e-3)
    assert load_state(folder / "on2" / "state.pt")["step"] == 2


def test_a_batch_that_cannot_be_dealt_out_is_an_error(fake_run):
    with pytest.raises(AssertionError, match="cannot be dealt out to 2 processes"):
        run_on(2, "classify", "train", *COMMON, *TINY, "--set", "batch_size=15", "--set", "size=16")


def test_a_killed_process_ends_the_job_and_leaves_a_whole_checkpoint(fake_run):
    words = [
        *TINY,
        "--set",
        "steps=4000",
        "--set",
        "size=16",
        "--set",
        "batch_size=16",
        "--name",
        "x",
    ]
    running = start_on(2, "classify", "train", *COMMON, *words, "--set", "save_every=5")
    state = fake_run.path / "classify" / "x" / "state.pt"
    wait_for(state.is_file)
    running[1].process.kill()
    code, errors = running[0].wait(120)
    assert code == 2, errors
    assert "another of the 2 processes is gone" in errors
    assert load_state(state)["step"] >= 5


def test_trainings_side_by_side_end_with_their_command(fake_run):
    words = ["--recipes", "ce,balanced", "--seeds", "1", "--jobs", "2", "--device", "cpu"]
    long = [*TINY, "--set", "steps=100000", "--set", "save_every=2", "--set", "size=16"]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    start = [sys.executable, "-m", "classify", "compare", *words, *long]
    command = subprocess.Popen(start, env=alone)
    folder = fake_run.path / "classify" / "compare"
    try:
        wait_for(lambda: len(list(folder.glob("*/state.pt"))) == 2)
    finally:
        command.kill()
        command.wait()
    wait_for(lambda: all(is_free(place) for place in folder.iterdir()))
