#!/usr/bin/env -S .venv/bin/python
"""Rare classes of a detector: ways of sampling, and pasting of real and of drawn objects.

    scripts/experiments/detector_pasting.py    (TGN_SHARED: folder with data/vhr10.zip)

The training part of VHR-10 gets a long tail: of the images with a class that RARE names, --rare are
kept. The chips of that part are split, and a generator learns and draws them (tgn distill, train,
generate). Then a detector is trained in every way for every seed; what is finished is not trained
again. The table has AP50 (VOC 2012, percent) of all classes, of the rare ones and of each of these,
as mean and half of the 95% interval over the seeds, and the gain over uniform sampling, paired by
seed. Steps are few: a GPU does more. A trial of everything: --seeds 2 --steps 2 --generator-steps 2
--distill-steps 4 --n 4 --set size=64.
"""

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

from common import run, set_words
from detector_data import vhr10

from classify.comparison.formatting import format_interval, interval
from tgn.data.runs import find_run, runs_root
from tgn.runtime.markdown import markdown_table

RARE = ("bridge", "basketball_court", "ground_track_field")  # fewest objects but for the harbors
MEASURES = ("all", "rare", *RARE)
NAME = "pasting"
THRESHOLD = 0.3  # of repeat factors: the rare classes and some others are below
SETTINGS = (  # the students of detectors.py: many small steps
    "detector=faster-rcnn",
    "backbone=mobilenetv2_100",
    "optimizer=adamw",
    "lr=0.0005",
    "batch_size=1",
    "proposals_per_image=128",
    "nms_candidates=1000",
)


def main() -> None:
    """Train what is missing and print the table."""
    given = _arguments()
    labels, images, *test = vhr10()
    tailed = long_tailed(Path(labels), given.rare, given.rare_seed)
    drawn = drawn_chips(tailed, images, given)
    words = [str(tailed), images, *test]
    words += set_words(*SETTINGS, f"fpn_channels={given.fpn}", f"steps={given.steps}", *given.set)
    rows: list[list[str]] = []
    plain: list[dict[str, float]] = []
    for way in given.ways:
        settings = ways(drawn, given.paste_below)[way]
        name, own = f"{drawn}-{way.replace('=', '-')}", [*words, *set_words(*settings)]
        found = [trained(f"{name}-{seed}", seed, own) for seed in range(given.seeds)]
        rows.append([way, *cells(found, plain)])
        plain = plain or found
    header = ("", *MEASURES, *(f"gain, {name}" for name in MEASURES))
    print(markdown_table(header, rows))


def ways(drawn: str, below: int) -> dict[str, tuple[str, ...]]:
    """Return name -> settings of each way; the first is what the others are compared with."""
    pasted = f"paste_below={below}"
    return {
        "uniform": (),
        "repeat-factor": ("sampling=repeat-factor", f"repeat_threshold={THRESHOLD}"),
        "class-balanced": ("sampling=class-balanced",),
        "paste=real": ("paste=real", pasted),
        "paste=run": (f"paste={drawn}", pasted),
        "paste=real+run": (f"paste=[real,{drawn}]", pasted),
    }


def long_tailed(labels: Path, count: int, seed: int) -> Path:
    """Write the labels without most images that show a rare class; return the file."""
    content = json.loads(labels.read_text())
    names = {one["id"]: one["name"] for one in content["categories"]}
    shown: defaultdict[int, set[str]] = defaultdict(set)
    for box in content["annotations"]:
        shown[box["image_id"]].add(names[box["category_id"]])
    order = sorted(image["id"] for image in content["images"])
    random.Random(seed).shuffle(order)
    room, kept = dict.fromkeys(RARE, count), set()
    for image in order:
        rare = shown[image] & set(RARE)
        if all(room[name] > 0 for name in rare):
            kept.add(image)
            room.update({name: room[name] - 1 for name in rare})
    images = [one for one in content["images"] if one["id"] in kept]
    boxes = [one for one in content["annotations"] if one["image_id"] in kept]
    file = labels.with_name(f"train-{count}-{seed}.json")
    file.write_text(json.dumps({**content, "images": images, "annotations": boxes}))
    return file


def drawn_chips(labels: Path, images: str, given: argparse.Namespace) -> str:
    """Return the run whose generator has drawn the chips of the labels, made if it is not there."""
    name = f"{NAME}-{labels.stem}"
    chips = runs_root() / f"{name}-chips"
    if not (runs_root() / name / "run.yaml").is_file():
        run("tgn", "chips", str(labels), images, str(chips), *set_words("test_fraction=0.03"))
        run("tgn", "split", str(chips), "--run", name)
    found = find_run(name)
    if not (found.generated / "manifest.jsonl").is_file():
        here, learning = ("--run", name), (f"steps={given.generator_steps}", f"size={given.side}")
        run("tgn", "distill", *here, *set_words(f"steps={given.distill_steps}"))
        run("tgn", "train", *here, "--backend", given.backend, *set_words(*learning))
        drawing = ("--class", "all", "--n", str(given.n), "--noise", given.noise)
        run("tgn", "generate", *here, "--backend", given.backend, *drawing)
    return name


def trained(name: str, seed: int, words: Sequence[str]) -> dict[str, float]:
    """Train a detector unless it is there; return AP50 of all, of rare, and of each rare class."""
    file = runs_root() / "detect" / name / "metrics.json"
    if not file.is_file():
        run("classify", "detect", "train", *words, "--seed", str(seed), "--name", name)
    found = json.loads(file.read_text())
    of_class = {row["class"]: row["voc12_ap50"] or 0.0 for row in found["by_class"]}
    rare = {name: of_class[name] for name in RARE}
    return {"all": found["voc12"]["ap50"] or 0.0, "rare": fmean(rare.values()), **rare}


def cells(found: Sequence[dict[str, float]], plain: Sequence[dict[str, float]]) -> Iterator[str]:
    """Yield the mean of each measure, then its paired gain over others ("" without any)."""
    for name in MEASURES:
        yield format_interval(interval([one[name] for one in found]))
    for name in MEASURES:
        pairs = zip(found, plain, strict=True) if plain else ()
        gains = [one[name] - other[name] for one, other in pairs]
        yield format_interval(interval(gains)) if gains else ""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--ways", nargs="+", default=list(ways("", 0)), help="the first is the rival"
    )
    parser.add_argument("--rare", type=int, default=10, help="images with each rare class")
    parser.add_argument("--rare-seed", type=int, default=0, help="of their choice")
    parser.add_argument("--steps", type=int, default=850, help="of a detector")
    parser.add_argument("--fpn", type=int, default=64, help="channels of the feature pyramid")
    parser.add_argument("--set", action="append", default=[], help="of all detectors")
    parser.add_argument("--paste-below", type=int, default=60, help="objects of a pasted class")
    parser.add_argument("--backend", default="cdtg", help="of tgn train")
    parser.add_argument("--distill-steps", type=int, default=100)
    parser.add_argument("--generator-steps", type=int, default=150)
    parser.add_argument("--side", type=int, default=128, help="of the drawn chips, in pixels")
    parser.add_argument("--noise", default="0.4", help="of the drawn chips")
    parser.add_argument("--n", type=int, default=100, help="drawn chips of each tail class")
    return parser.parse_args()


if __name__ == "__main__":
    main()
