#!/usr/bin/env -S .venv/bin/python
"""Does the verdict on generated images agree with the full comparison?

scripts/experiments/verdict_check.py --seeds 0-11   (TGN_SHARED names the folder with data/)

A split: the classes of a data set in random order; their images fall from 40 to 170 of the first
class to 3 to 12 of the last one, both drawn on a logarithmic scale. Each class of fewer than 20
images gets 30 images of 64 px of a source that the seed chooses:

- recombined: by the recombination at r = 0.7, what a CDTG returns after its first step;
- strangers: the same, but half of them show another class;
- grain: the same, with a quarter of the resolution and noise;
- fresh: other real images, as a perfect generator would draw.

All features are of 4 symmetries, in 384 principal components.

*Verdict*: the rule of ``tgn filter --by use`` without tests of single images, of training images
alone. It says yes if the images of any class are kept.

*Full comparison*: the class-weighted ridge probe with all of these images, at the weight that
``classify probe`` gives them, less the one without, on all remaining real images; the accuracy of
the classes that got some, paired bootstrap over test images of each class.

Defined before the check: the comparison says yes if the 95% interval of the change is above 0, no
if it is below 0 or the change is at most 0.3 points, else it is undecided. Agreement is counted
over the decided splits. Regret is what following the verdict loses: the change by all images, or 0
if that is negative, less the change by the images of the classes that the verdict keeps.
"""

import argparse
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from verdict_data import Pool, load_pool
from verdict_drawings import SOURCES, DrawnSplit, draw_images, draw_split

from tgn.data.splits.folds import deal_out
from tgn.models.classifier_layers import normalised_parts
from tgn.probe.fit import GeneratedViews
from tgn.probe.gain import Measured, ViewRows, measure_gains
from tgn.probe.linear import LinearHead, shared_weights
from tgn.probe.principal_components import principal_basis
from tgn.probe.ridge import ridge_head
from tgn.probe.settings import GENERATED_SHARE
from tgn.runtime.files import write_json
from tgn.runtime.seeds import generator
from tgn.scoring.settings import UseFilterSettings
from tgn.scoring.use import DIMENSIONS, best_penalty
from tgn.scoring.use_verdict import classes_to_use, expected_gains

DATA = "aid,vhr10,scenes"
HARMLESS = 0.3  # points: a smaller gain is not worth a generator
RESAMPLES = 1000


class Task(NamedTuple):
    """All rows of one split, in principal components."""

    real: ViewRows
    drawn: ViewRows
    made_from: Tensor
    test: Tensor  # means over views, [T, D]
    test_labels: Tensor
    rare: list[int]  # places of the classes that got images
    penalty: float


def prepare(pool: Pool, split: DrawnSplit, seed: int) -> Task:
    """Return the rows of a split with the images of a source."""
    parts = pool.network.parts
    train = pool.views[split.train].float()
    mean = train.mean((0, 1))
    drawings = draw_images(pool, split, seed)
    real = normalised_parts(train, mean, parts)
    drawn = normalised_parts(pool.views_of(drawings.pixels), mean, parts)
    basis = principal_basis(torch.cat([real.mean(1), drawn.mean(1)]), DIMENSIONS)
    tested = [
        normalised_parts(pool.views[rows].float(), mean, parts).mean(1).double() @ basis
        for rows in split.test.split(1000)
    ]
    labels = split.place[pool.labels[split.train]]
    rows = real.double() @ basis
    return Task(
        real=ViewRows(rows, labels),
        drawn=ViewRows(drawn.double() @ basis, drawings.labels),
        made_from=drawings.made_from,
        test=torch.cat(tested),
        test_labels=split.place[pool.labels[split.test]],
        rare=drawings.labels.unique().tolist(),
        penalty=best_penalty(rows, labels),
    )


def fitted(task: Task, generated: GeneratedViews) -> LinearHead:
    """Return the ridge probe of the real images and some of the drawings."""
    (table,) = generated.tables
    rows = torch.cat([task.real.rows, table])
    labels, classes = torch.cat([task.real.labels, generated.labels]), int(task.real.labels.max())
    weights = shared_weights(task.real.labels, generated.labels, classes + 1, generated.share)
    views, flat = rows.shape[1], rows.flatten(0, 1)
    every, each = labels.repeat_interleave(views), weights.repeat_interleave(views)
    return ridge_head(flat, every, each, classes + 1, task.penalty)


def right_images(task: Task, kept: list[int]) -> Tensor:
    """Return which test images the probe with the images of some classes knows, float [T]."""
    drawn = task.drawn.at(torch.isin(task.drawn.labels, torch.tensor(kept, dtype=torch.int64)))
    head = fitted(task, GeneratedViews([drawn.rows], drawn.labels, GENERATED_SHARE))
    return (head.scores(task.test).argmax(1) == task.test_labels).double()


def change_of_classes(task: Task, change: Tensor, seed: int) -> tuple[float, float, float]:
    """Return the mean change over the classes that got images, with its 95% interval, in points."""
    rng, resampled = generator("verdict check, test", seed), torch.zeros(RESAMPLES).double()
    means = []
    for label in task.rare:
        own = change[task.test_labels == label]
        means.append(float(own.mean()))
        resampled += own[torch.randint(len(own), (RESAMPLES, len(own)), generator=rng)].mean(1)
    low, high = torch.quantile(resampled / len(task.rare), torch.tensor([0.025, 0.975]).double())
    return 100 * sum(means) / len(means), 100 * float(low), 100 * float(high)


def measured(task: Task) -> Measured:
    """Return the changes at left-out training images, as ``tgn filter --by use`` measures them."""
    settings = UseFilterSettings()
    folds = deal_out(task.real.labels, settings.folds, settings.seed)
    return measure_gains(task.real, task.drawn, task.made_from, folds, task.penalty)


def check(name: str, pool: Pool, seed: int) -> dict[str, Any]:
    """Judge and compare on one split."""
    start = time.monotonic()
    task = prepare(pool, draw_split(name, pool.labels, seed), seed)
    by_statistic = expected_gains(measured(task))
    expected = by_statistic[UseFilterSettings().statistic]
    used = classes_to_use(expected)
    kept = [label for label, use in zip(task.rare, used.tolist(), strict=True) if use]
    before = right_images(task, [])
    gain, low, high = change_of_classes(task, right_images(task, task.rare) - before, seed)
    own, *_ = change_of_classes(task, right_images(task, kept) - before, seed)
    counts = torch.bincount(task.real.labels)
    return {
        "data": name,
        "seed": seed,
        "source": SOURCES[seed % len(SOURCES)],
        "images": [int(counts[0]), int(counts[-1])],
        "before": 100 * float(before[torch.isin(task.test_labels, torch.tensor(task.rare))].mean()),
        "expected": 100 * expected.pooled,
        "deviation": 100 * expected.pooled_deviation,
        "kept": len(kept),
        "classes": len(task.rare),
        "says_yes": bool(kept),
        "gain": gain,
        "low": low,
        "high": high,
        "truth": truth(gain, low, high),
        "followed": own,
        "regret": max(gain, 0.0) - own,
        "seconds": time.monotonic() - start,
    }


def truth(gain: float, low: float, high: float) -> bool | None:
    """Return what the comparison says: yes, no, or None where it is undecided."""
    if low > 0:
        return True
    return False if high < 0 or gain <= HARMLESS else None


def show(rows: list[dict[str, Any]]) -> None:
    """Print the splits and their summary as Markdown."""
    print("| data | seed | source | images | before | expected | kept | measured | says | regret |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        said = "yes" if row["says_yes"] else "no"
        undecided = row["truth"] is None
        mark = (
            " (undecided)" if undecided else "" if row["truth"] == row["says_yes"] else " **wrong**"
        )
        half = 1.96 * row["deviation"]
        print(
            f"| {row['data']} | {row['seed']} | {row['source']} "
            f"| {row['images'][0]} → {row['images'][1]} "
            f"| {row['before']:.1f} | {row['expected']:+.2f} ± {half:.2f} "
            f"| {row['kept']} of {row['classes']} "
            f"| {row['gain']:+.1f} ({row['low']:+.1f} to {row['high']:+.1f}) "
            f"| {said}{mark} | {row['regret']:+.1f} |"
        )
    decided = [row for row in rows if row["truth"] is not None]
    right = sum(row["truth"] == row["says_yes"] for row in decided)
    regrets = [row["regret"] for row in rows]
    print(
        f"\nagreement: {right} of {len(decided)} decided splits of {len(rows)}; the comparison "
        f"says yes on {sum(row['truth'] for row in decided)}; regret: mean "
        f"{sum(regrets) / len(rows):+.2f} points, largest {max(regrets):+.2f}; always without: "
        f"{sum(max(row['gain'], 0) for row in rows) / len(rows):+.2f}; always with: "
        f"{sum(max(-row['gain'], 0) for row in rows) / len(rows):+.2f}"
    )


def main() -> None:
    """Check all splits and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=DATA, help="which, by commas; NAME=FILE.pt: a kept pool")
    parser.add_argument("--seeds", default="0-11", help="first and last")
    parser.add_argument("--symmetries", type=int, default=4, help="views of an image")
    parser.add_argument("--out", type=Path, help="JSON of all numbers")
    given = parser.parse_args()
    first, last = map(int, given.seeds.split("-"))
    rows = []
    for entry in given.data.split(","):
        name, _, file = entry.partition("=")
        pool = load_pool(file or name, given.symmetries)
        for seed in range(first, last + 1):
            rows.append(check(name, pool, seed))
            print(rows[-1], flush=True)
            if given.out:
                write_json(given.out, {"rows": rows})
    show(rows)


if __name__ == "__main__":
    main()
