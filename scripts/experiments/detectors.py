#!/usr/bin/env -S .venv/bin/python
"""Detectors with and without each way of distillation: seeds, and a table with the spread.

    scripts/experiments/detectors.py rotated   drawn images (tgn scenes --boxes rotated)
    scripts/experiments/detectors.py vhr10     (TGN_SHARED names the folder with data/vhr10.zip)

A teacher of each kind is trained once; then every student for every seed. What is finished is not
trained again. Lengths are what two processor cores do in some hours; with a GPU ask for more:
--teacher-set steps=... --student-set steps=... Teachers are EfficientNet-Lite0, students
MobileNetV2 (of GFL a shorter EfficientNet-Lite0), with the ImageNet weights that installed packages
carry. A student of Faster R-CNN or GFL without a teacher has as many steps more as take the time of
one with a teacher; rotated ones have equal steps. Learning rates and batches of students were
chosen on a fifth of the training part (validation_share); how the lengths were is in the results.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from common import run, set_words
from detector_data import drawn, vhr10

from classify.comparison.formatting import format_interval, interval
from tgn.data.runs import runs_root
from tgn.runtime.markdown import markdown_table

COLUMNS = (("voc12", "ap50"), ("voc12", "ap75"), ("coco", "ap"))
HEADER = ("", "AP50", "AP75", "AP", "gain in AP50, paired", "in AP")

MIMICKING = ("none", "inherit", "l2-inherit", "lshl2-inherit", "l2", "lshl2")
INHERITING = {  # begin with the teacher's last layers; without and with mimicking
    "inherit": ("l2", "mimic.inherit_head=true", "mimic.weight=0"),
    "l2-inherit": ("l2", "mimic.inherit_head=true"),
    "lshl2-inherit": ("lshl2", "mimic.inherit_head=true"),
}
DENSE = ("none", "kd", "ld", "ld+kd")
# For small objects; the published factors of levels came after the measurement.
GFL = ("finest_stride=4", "fpn_norm=group", "level_scales=false")
SMALL_HEAD = ("proposals_per_image=128", "nms_candidates=1000")
TEACHER, STUDENT = "backbone=tf_efficientnet_lite0", "backbone=mobilenetv2_100"


class Kind(NamedTuple):
    """A detector: ways of distillation, and how its teacher and its students train."""

    ways: tuple[str, ...]
    teacher: tuple[str, ...]
    student: tuple[str, ...]
    alone: tuple[str, ...] = ()  # of students without a teacher
    first: tuple[str, ...] = ()  # of the training that the teacher goes on from


@dataclass(frozen=True)
class Study:
    """What is compared on a data set."""

    kinds: dict[str, Kind]
    settings: tuple[str, ...]


STUDIES = {
    "rotated": Study(
        {
            "rotated-retinanet": Kind(
                DENSE,
                ("batch_size=1", "steps=2400"),
                ("batch_size=1", "steps=1100"),
            )
        },
        ("size=256",),
    ),
    "vhr10": Study(
        {
            "faster-rcnn": Kind(
                MIMICKING,
                ("steps=1200",),
                ("batch_size=1", "steps=600", *SMALL_HEAD),
                ("steps=850",),
            ),
            "gfl": Kind(
                DENSE,
                (*GFL, "batch_size=2", "steps=1200"),
                (*GFL, "batch_size=2", "steps=960", TEACHER),
                ("steps=1200",),
                (*GFL, "batch_size=1", "steps=2400"),
            ),
        },
        ("size=448",),
    ),
}
SHARED = ("optimizer=adamw", "lr=0.0005", "fpn_channels=64")


def train(name: str, words: list[str]) -> Path:
    """Train a detector unless it is there; return its folder."""
    folder = runs_root() / "detect" / name
    if not (folder / "metrics.json").is_file():
        run("classify", "detect", "train", *words, "--name", name)
    return folder


def row(name: str, folders: list[Path], rivals: list[Path]) -> list[str]:
    """Return mean and half of the 95% interval over the seeds, percent; the last two paired."""
    own, theirs = (
        [[_measures(folder)[rule][column] or 0.0 for folder in some] for rule, column in COLUMNS]
        for some in (folders, rivals)
    )
    cells = [format_interval(interval(values)) for values in own]
    for column in (0, 2):
        gains = [mine - other for mine, other in zip(own[column], theirs[column], strict=False)]
        cells.append(format_interval(interval(gains)) if gains else "")
    return [name, *cells]


def _measures(folder: Path) -> dict[str, dict[str, float | None]]:
    return json.loads((folder / "metrics.json").read_text())


def table(name: str, kind: Kind, words: list[str], given: argparse.Namespace) -> list[list[str]]:
    """Train what is missing of a kind of detector; return its rows, the teacher's first."""
    start: list[str] = []
    if kind.first:
        first = train(f"{name}-first", [*words, *set_words(TEACHER, *kind.first)])
        start = set_words(f"start={first.name}")
    settings = set_words(TEACHER, *kind.teacher, *given.teacher_set)
    teacher = train(f"{name}-teacher", [*words, *settings, *start])
    rows = [row(f"{name}, teacher", [teacher], [])]
    plain: list[Path] = []
    for way in given.ways or kind.ways:
        own = [*words, *student_words(way, kind, teacher, given.student_set)]
        seeds = range(given.first_seed, given.first_seed + given.seeds)
        folders = [train(f"{name}-{way}-{seed}", [*own, "--seed", str(seed)]) for seed in seeds]
        rows.append(row(f"{name}, {way}", folders, plain))
        plain = plain or folders
    return rows


def student_words(way: str, kind: Kind, teacher: Path, more: Sequence[str]) -> list[str]:
    """Return the words of a student that learns in a way of distillation."""
    if way == "none":
        return set_words(STUDENT, *kind.student, *kind.alone, *more)
    distill, *settings = INHERITING.get(way, (way,))
    words = set_words(STUDENT, *kind.student, *settings, *more)
    return [*words, "--distill", distill, "--teacher", teacher.name]


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0, help="of the students")
    parser.add_argument("--ways", nargs="+", help="of distillation; the first is the rival")
    parser.add_argument("--only", help="one kind of detector")
    parser.add_argument("--set", action="append", default=[], help="of teachers and students")
    parser.add_argument("--teacher-set", action="append", default=[])
    parser.add_argument("--student-set", action="append", default=[])
    given = parser.parse_args()
    study = STUDIES[given.study]
    data = drawn() if given.study == "rotated" else vhr10()
    rows: list[list[str]] = []
    for name, kind in study.kinds.items():
        if given.only in (None, name):
            shared = (f"detector={name}", *SHARED, *study.settings, *given.set)
            words = [*data, *set_words(*shared)]
            rows += table(f"{given.study}-{name}", kind, words, given)
    print(markdown_table(HEADER, rows))


if __name__ == "__main__":
    main()
