#!/usr/bin/env -S .venv/bin/python
"""What are generated images worth to the best recipe? Generators x classifier seeds, paired.

scripts/experiments/worth.py aid-lt --generators 3 --seeds 5     (TGN_SHARED names the folder with data/)
scripts/experiments/worth.py built-in --uses blended,soft --ratios 0.5,1

The data sets: aid-lt and vhr10 by the lists in splits/, vhr10-thin (VHR-10 with 60 to 5 training
chips a class, since frozen features know the whole set), and built-in scenes. Each generator is a
``tgn distill``, ``tgn train`` and ``tgn generate`` of its own seed. ``classify compare`` then trains
every recipe without images, and with those of each generator, by the same seeds.

A gain is a mean over generators and seeds; its 95% interval covers both kinds of seeds. Uses and
ratios are tried with the images of the first generator. What is finished is not repeated.
"""

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import SPLITS, run, set_words, shared_data
from numpy.typing import NDArray
from vhr10 import chips
from worth_data import thinned_list

from classify.comparison.compare import COMPARED_METRICS
from classify.training.recipes import GENERATED, recipe
from tgn.data.runs import find_run, runs_root
from tgn.metrics.classification import confusion_matrix, group_accuracy
from tgn.metrics.two_way_interval import two_way_interval
from tgn.models.backbones import load_classifier
from tgn.models.inference import predictions
from tgn.runtime.devices import Device
from tgn.runtime.files import write_json
from tgn.runtime.markdown import markdown_table
from tgn.runtime.settings import ComputeSettings

DATA = ("aid-lt", "vhr10", "vhr10-thin", "built-in")
RECIPES = "probe,lp-ft,balanced"
SHOWN = ("balanced", "head", "tail", "few")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", choices=DATA)
    parser.add_argument("--recipes", default=RECIPES, help="each without and with images")
    parser.add_argument("--uses", default="", help="of generated images, also tried: a,b")
    parser.add_argument("--ratios", default="", help="of generated images, also tried: 0.5,1")
    parser.add_argument("--generators", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--n", type=int, default=60, help="generated images of each rare class")
    parser.add_argument("--noise", default="0.7")
    parser.add_argument("--distill-steps", type=int, default=200)
    parser.add_argument("--generator-steps", type=int, default=100)
    parser.add_argument("--steps", type=int, default=300, help="of every trained classifier")
    parser.add_argument("--filter", default="", help="use: drop what does not help (tgn filter)")
    return parser.parse_args()


def split(data: str, name: str) -> None:
    """Make the run of a data set, if it is not there."""
    if (runs_root() / name / "run.yaml").is_file():
        return
    if data == "aid-lt":
        given = [str(shared_data("aid64.zip")), "--from", str(SPLITS / "aid_lt_64.csv")]
    elif data == "built-in":
        scenes = runs_root() / "built-in-scenes"
        if not scenes.exists():
            run("tgn", "scenes", str(scenes), *set_words("size=64"))
        given = [str(scenes)]
    else:
        listed = SPLITS / "vhr10_chips.csv"
        listed = thinned_list(listed) if data == "vhr10-thin" else listed
        given = [str(chips("vhr10")), "--from", str(listed)]
    run("tgn", "split", *given, "--run", name)


def generated(given: argparse.Namespace, seed: int) -> Path:
    """Return the images of a generator, made if they are not there."""
    name = f"worth-{given.data}-g{seed}"
    split(given.data, name)
    out = runs_root() / name / "generated"
    if not (out / "manifest.jsonl").is_file():
        here = ("--run", name, "--seed", str(seed))
        run("tgn", "distill", *here, *set_words(f"steps={given.distill_steps}"))
        run("tgn", "train", *here, *set_words(f"steps={given.generator_steps}"))
        drawn = ("--class", "all", "--noise", given.noise, "--n", str(given.n))
        run("tgn", "generate", *here, *drawn)
    if given.filter:
        run("tgn", "filter", str(out), "--run", name, "--by", given.filter)
    return out


def compare(given: argparse.Namespace, folder: Path, names: Sequence[str]) -> dict[str, Any]:
    """Return the comparison of recipes with the images of a folder."""
    name = f"worth-{given.data}"
    split(given.data, name)
    words = ("--recipes", ",".join(names), "--seeds", str(given.seeds), "--run", name)
    trained = any(recipe(one).probe is None for one in names)
    steps = set_words(f"steps={given.steps}") if trained else []
    run("classify", "compare", *words, "--augmented", str(folder), *steps)
    table: dict[str, Any] = json.loads(find_run(name).comparison_file.read_text(encoding="utf-8"))
    return table


def values(table: dict[str, Any], name: str, metric: str) -> NDArray[np.float64]:
    """Return a metric of each seed, in points."""
    return 100 * np.array(table["recipes"][name][metric]["values"])


def training_accuracy(given: argparse.Namespace, name: str) -> float:
    """Return the tail accuracy on the training images of the first seed, in percent."""
    found = find_run(f"worth-{given.data}")
    split_of = found.split()
    net = load_classifier(found.comparison / f"{name}-seed0" / "classifier.safetensors")
    images = split_of.image_set("train", found.path, net.facts.size, net.facts.bands)
    device = Device(ComputeSettings(precision="float32"))
    confusion = confusion_matrix(predictions(device.place(net), images, device))
    return 100 * (group_accuracy(confusion, split_of.tail_classes) or 0.0)


def rows_of_gains(
    tables: Sequence[dict[str, Any]], bases: Sequence[str], best: str
) -> list[list[str]]:
    """Return a row for each recipe: its mean, then its gains over itself and over the best one."""
    rows = []
    for name in tables[0]["recipes"]:
        base = name.partition(GENERATED)[0]
        cells = [name]
        for metric in (m for m in SHOWN if m in tables[0]["recipes"][name]):
            own = np.stack([values(one, name, metric) for one in tables])
            cells.append(f"{own.mean():.1f}")
        for other in (base, best):
            if name in bases or other not in tables[0]["recipes"]:
                cells.append("")
                continue
            for metric in ("tail", "few") if other == base else ("tail", "head"):
                if metric not in tables[0]["recipes"][name]:
                    continue
                gain = np.stack(
                    [values(t, name, metric) - values(t, other, metric) for t in tables]
                )
                mean, low, high = two_way_interval(gain)
                cells.append(f"{metric} {mean:+.1f} ({low:+.1f} to {high:+.1f})")
        rows.append(cells)
    return rows


def main() -> None:
    """Run what is missing and print the tables as Markdown."""
    given = arguments()
    bases = given.recipes.split(",")
    both = [name for base in bases for name in (base, base + GENERATED)]
    folders = [generated(given, seed) for seed in range(given.generators)]
    tables = [compare(given, folder, both) for folder in folders]
    best = max(bases, key=lambda name: values(tables[0], name, "tail").mean())
    out = runs_root() / f"worth-{given.data}" / "worth.json"
    write_json(out, {"settings": vars(given), "best": best, "tables": tables})
    shutil.copy(out, out.with_suffix(".with-images.json"))
    fits = {name: training_accuracy(given, name) for name in both}
    width = max(len(row) for row in rows_of_gains(tables, bases, best))
    rows = [row + [""] * (width - len(row)) for row in rows_of_gains(tables, bases, best)]
    header = ["recipe", *SHOWN, *["gain"] * (width - 1 - len(SHOWN))]
    print(markdown_table(header, rows))
    print("tail accuracy on training images:", {k: round(v, 1) for k, v in fits.items()})


if __name__ == "__main__":
    main()
