#!/usr/bin/env -S .venv/bin/python
"""What are generated images worth to the best recipe? Generators x classifier seeds, paired.

scripts/experiments/worth.py aid-lt                  (TGN_SHARED names the folder with data/)
scripts/experiments/worth.py built-in --recipes probe,lp-ft --uses instead,blended --ratios 0.5,1

Data: aid-lt and vhr10 by the lists in splits/, vhr10-thin (60 to 5 training chips a class: frozen
features know the whole set), built-in scenes. A generator is a ``tgn distill``, ``tgn train`` and
``tgn generate`` by a seed of its own. ``classify compare`` trains every recipe without images and
with those of each generator, by the same seeds.

A gain is a mean over generators and seeds, paired; its 95% interval covers both kinds of seeds
(tgn.metrics.two_way_interval). "over the best": over the recipe without images that is best on the
tail of the test images, which flatters that recipe and never the gain. Uses and ratios are tried
in the first recipe that is trained, with the images of the first generator.
"""

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from worth_runs import DATA, all_generated, compare

from classify.training.recipes import GENERATED, RATIO, have_generated, recipe
from tgn.data.runs import find_run, runs_root
from tgn.metrics.classification import confusion_matrix, group_accuracy
from tgn.metrics.two_way_interval import two_way_interval
from tgn.models.backbones import load_classifier
from tgn.models.inference import predictions
from tgn.runtime.devices import Device
from tgn.runtime.files import write_json
from tgn.runtime.markdown import markdown_table
from tgn.runtime.settings import ComputeSettings

METRICS = ("balanced", "head", "tail", "few")


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", choices=DATA)
    parser.add_argument("--recipes", default="probe,lp-ft,balanced", help="without and with images")
    parser.add_argument("--uses", default="", help="of generated images, also tried: a,b")
    parser.add_argument("--ratios", default="", help="numbers of them, also tried: 0.5,1")
    parser.add_argument("--generators", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--classes", default="all", help="all: rare ones; every: head ones, too")
    parser.add_argument("--n", type=int, default=60, help="generated images a class")
    parser.add_argument("--noise", default="0.7")
    parser.add_argument("--distill-steps", type=int, default=200)
    parser.add_argument("--generator-steps", type=int, default=100)
    parser.add_argument("--steps", type=int, default=150, help="of every trained classifier")
    parser.add_argument("--size", type=int, default=96, help="at which it is trained, in pixels")
    parser.add_argument("--by-use", action="store_true", help="filter: tgn filter --by use")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time, of one GPU too")
    return parser.parse_args()


def main() -> None:
    """Run what is missing and print the tables as Markdown."""
    given = arguments()
    bases = given.recipes.split(",")
    names = [name for base in bases for name in (base, base + GENERATED)]
    folders, tables = all_generated(given), list[dict[str, Any]]()
    for folder in folders:
        tables.append(compare(given, folder, names))
        keep(given, {"tables": tables})
    best = max(bases, key=lambda name: values(tables[0], name, "tail").mean())
    print(gains_table(tables, best))
    print("tail accuracy on the training images, first seed:", fits(given, names))
    tried = _tried(given, bases)
    if tried:
        more = compare(given, folders[0], [*bases, *tried])
        print(gains_table([more], best))
        keep(given, {"tables": tables, "tried": more})


def keep(given: argparse.Namespace, found: dict[str, Any]) -> None:
    """Write what is known so far."""
    out = runs_root() / f"worth-{given.data}" / "worth.json"
    write_json(out, {"settings": vars(given), **found})


def _tried(given: argparse.Namespace, bases: Sequence[str]) -> list[str]:
    """Return the further uses and ratios, of the first recipe that is trained: a probe has none."""
    trained = [base + GENERATED for base in bases if recipe(base).probe is None][:1]
    ways = [f"-{use}" for use in given.uses.split(",") if use]
    ways += [f"{RATIO}{ratio}" for ratio in given.ratios.split(",") if ratio]
    return [base + way for base in trained for way in ways]


def values(table: dict[str, Any], name: str, metric: str) -> NDArray[np.float64]:
    """Return a metric of each seed, in points."""
    return 100 * np.array(table["recipes"][name][metric]["values"])


def gains_table(tables: Sequence[dict[str, Any]], best: str) -> str:
    """Return means of all recipes, and what images change in a recipe and against the best one."""
    names = tables[0]["recipes"]
    metrics = [metric for metric in METRICS if metric in names[best]]
    rows = []
    for name in names:
        means = [f"{np.mean([values(one, name, m) for one in tables]):.1f}" for m in metrics]
        base = name.partition(GENERATED)[0]
        over = (base, best) if have_generated([name]) else ()
        rows.append([name, *means, *(_gain(tables, name, other, metrics) for other in over)])
    width = len(metrics) + 3
    header = ["recipe", *metrics, "gain", f"over the best, {best}"]
    return markdown_table(header, [row + [""] * (width - len(row)) for row in rows])


def _gain(tables: Sequence[dict[str, Any]], name: str, other: str, metrics: Sequence[str]) -> str:
    cells = []
    for metric in metrics[1:]:
        gain = [values(one, name, metric) - values(one, other, metric) for one in tables]
        mean, low, high = two_way_interval(np.stack(gain))
        cells.append(f"{metric} {mean:+.1f} ({low:+.1f} to {high:+.1f})")
    return ", ".join(cells)


def fits(given: argparse.Namespace, names: Sequence[str]) -> dict[str, float]:
    """Return the tail accuracy on real training images: is there over-fitting to cure?"""
    found = find_run(f"worth-{given.data}")
    split, device = found.split(), Device(ComputeSettings(precision="float32"))
    result = {}
    for name in names:
        net = load_classifier(found.comparison / f"{name}-seed0" / "classifier.safetensors")
        images = split.image_set("train", found.path, net.facts.size, net.facts.bands)
        confusion = confusion_matrix(predictions(device.place(net), images, device))
        accuracy = group_accuracy(confusion, split.tail_classes)
        result[name] = round(100 * (accuracy or 0.0), 1)
    return result


if __name__ == "__main__":
    main()
