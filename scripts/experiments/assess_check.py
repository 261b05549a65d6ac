#!/usr/bin/env -S .venv/bin/python
"""Does ``tgn assess`` advise rightly? Thin classes, predict, add the real images back, compare.

scripts/experiments/assess_check.py --seeds 0-19   (TGN_SHARED names the folder with data/)

A split: the classes of a data set in random order, the first 40% frequent (60 to 170 images, the
same for all), the others rare (a median of 3 to 44 images, drawn on a logarithmic scale, each class
between half and twice the median). ``tgn assess`` sees these training images only. Then each rare
class gets 2, 4, 8 times as many real images (the mean of three draws), the same classifier is
fitted again, and its accuracy on real test images is compared with that before.

Defined before the check: the advice is right if it calls four times the images of the rare classes
worth collecting (predicted gain >= 3 points and lower end of the interval > 0) exactly if their
accuracy on test images rises by at least 3 points.
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from assess_data import DATA, Pool, pool
from torch import Tensor
from torch.nn import functional as F

from tgn.assess.advice import Evidence, is_worthwhile
from tgn.assess.extrapolation import ADVISED_FACTOR, FACTORS, extrapolate
from tgn.assess.learning_curve import measure_curves
from tgn.assess.refits import Refitter
from tgn.assess.settings import AssessSettings
from tgn.models.classifier_layers import normalised_parts
from tgn.runtime.files import write_json
from tgn.runtime.progress import Silent
from tgn.runtime.seeds import generator

HEAD_SHARE = 0.4
FREQUENT, RARE = (60, 170), (3, 44)
DRAWS = 3


class ThinnedSplit(NamedTuple):
    """A split: its classes' images in a random order, and how many of them are known today."""

    order: list[Tensor]  # rows of each class
    counts: list[int]
    rare: list[int]

    def rows(self, factor: int, draw: int) -> Tensor:
        """Return the training rows with ``factor`` times the images of the rare classes."""
        found = []
        for label, (rows, count) in enumerate(zip(self.order, self.counts, strict=True)):
            known, rest = rows[:count], rows[count:]
            if factor > 1 and label in self.rare:
                rng = generator("assess check, added", draw, label)
                rest = rest[torch.randperm(len(rest), generator=rng)]
                known = torch.cat([known, rest[: (factor - 1) * count]])
            found.append(known)
        return torch.cat(found)

    def can_grow(self, factor: int) -> bool:
        """Whether every rare class has so many times its images."""
        return all(factor * self.counts[k] <= len(self.order[k]) for k in self.rare)


def draw_split(name: str, labels: Tensor, seed: int) -> ThinnedSplit:
    """Draw a split of a data set."""
    rng = generator("assess check", name, seed)
    classes = int(labels.max()) + 1
    shuffled = torch.randperm(classes, generator=rng).tolist()
    rare = shuffled[max(2, round(HEAD_SHARE * classes)) :]
    first, second = torch.rand(2, generator=rng).tolist()
    median = RARE[0] * (RARE[1] / RARE[0]) ** first
    frequent = max(FREQUENT[0], 2 * median)
    frequent += (FREQUENT[1] - frequent) * second
    order, counts = [], []
    for label in range(classes):
        rows = (labels == label).nonzero().flatten()
        order.append(rows[torch.randperm(len(rows), generator=rng)])
        wanted = median * 2 ** float(2 * torch.rand(1, generator=rng) - 1)
        limit = len(rows) // ADVISED_FACTOR if label in rare else len(rows)
        counts.append(max(2, min(int(wanted if label in rare else frequent), limit)))
    return ThinnedSplit(order, counts, sorted(rare))


def check(name: str, images: Pool, seed: int, settings: AssessSettings) -> dict[str, Any]:
    """Predict and compare on one split."""
    split = draw_split(name, images.train_labels, seed)
    classes, known = len(split.counts), split.rows(1, 0)
    mean = images.train[known].mean((0, 1))
    train, test = (_features(part, mean, images.parts) for part in (images.train, images.test))

    def fitted(rows: Tensor) -> Refitter:
        return Refitter.of(train[rows], images.train_labels[rows], classes)

    def accuracy(rows: Tensor) -> float:
        refitter = fitted(rows)
        scores = refitter.head(torch.arange(len(rows))).scores(test.double() @ refitter.basis)
        right = scores.argmax(1) == images.test_labels
        return float(np.mean([right[images.test_labels == k].double().mean() for k in split.rare]))

    repeats, random = settings.repeats, settings.seed
    observations, curve = measure_curves(fitted(known), split.rare, repeats, random, Silent())
    future = extrapolate(observations, split.counts, split.rare, random)
    before = accuracy(known)
    gains = {}
    for one in future.gains:
        if split.can_grow(one.factor):
            after = [accuracy(split.rows(one.factor, draw)) for draw in range(DRAWS)]
            power_law = _power_law_gain(curve, one.factor)
            true = float(np.mean(after)) - before
            gains[one.factor] = {**one._asdict(), "true": true, "power_law": power_law}
    four = gains[ADVISED_FACTOR]
    evidence = Evidence(0.0, four["gain"], four["low"], four["high"], 0.0)
    advised, true = is_worthwhile(evidence, settings), four["true"] >= settings.worthwhile
    return {
        "data": name,
        "seed": seed,
        "images": float(np.median([split.counts[k] for k in split.rare])),
        "before": before,
        "gains": gains,
        "advised": advised,
        "right": advised == true,
        "power_law_right": (four["power_law"] >= settings.worthwhile) == true,
    }


def _features(views: Tensor, mean: Tensor, parts: tuple[int, ...]) -> Tensor:
    return F.normalize(normalised_parts(views.mean(1), mean, parts), dim=-1)


def _power_law_gain(curve: dict[float, float], factor: int) -> float:
    """Return the gain by the usual power law of the error, for comparison."""
    shares = np.array(sorted(curve))
    errors = np.array([1 - curve[share] for share in shares]).clip(1e-3)
    slope, start = np.polyfit(np.log(shares), np.log(errors), 1)
    return float(np.exp(start) - np.exp(start + slope * np.log(factor)))


def show(rows: list[dict[str, Any]], settings: AssessSettings) -> None:
    """Print the splits and their summary as Markdown."""
    print("| data | seed | images, median | before | predicted by x 4 | measured | right |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        four = row["gains"][ADVISED_FACTOR]
        gain, low, high, true = (100 * four[key] for key in ("gain", "low", "high", "true"))
        print(
            f"| {row['data']} | {row['seed']} | {row['images']:g} | {100 * row['before']:.1f} "
            f"| {gain:+.1f} ({low:+.1f} to {high:+.1f}) | {true:+.1f} "
            f"| {'yes' if row['right'] else '**no**'} |"
        )
    always = sum(row["gains"][ADVISED_FACTOR]["true"] >= settings.worthwhile for row in rows)
    print(
        f"\nright: {sum(row['right'] for row in rows)} of {len(rows)}; by the power law: "
        f"{sum(row['power_law_right'] for row in rows)}; by advising it always: {always}\n"
    )
    print("| factor | splits | mean absolute error | bias | power law's error | in the interval |")
    print("|---|---|---|---|---|---|")
    for factor in FACTORS:
        gains = [row["gains"][factor] for row in rows if factor in row["gains"]]
        if not gains:
            continue
        errors = [100 * (one["gain"] - one["true"]) for one in gains]
        of_power_law = [100 * (one["power_law"] - one["true"]) for one in gains]
        held = sum(one["low"] <= one["true"] <= one["high"] for one in gains)
        print(
            f"| {factor} | {len(gains)} | {np.abs(errors).mean():.1f} | {np.mean(errors):+.1f} "
            f"| {np.abs(of_power_law).mean():.1f} | {held} of {len(gains)} |"
        )


def main() -> None:
    """Check all splits and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=",".join(DATA), help="which, by commas")
    parser.add_argument("--seeds", default="0-19", help="first and last")
    parser.add_argument("--symmetries", type=int, default=4, help="views; 4 halve the time")
    parser.add_argument("--out", type=Path, help="JSON of all numbers")
    given = parser.parse_args()
    first, last = map(int, given.seeds.split("-"))
    settings, rows = AssessSettings(), []
    for name in given.data.split(","):
        images = pool(name, given.symmetries)
        for seed in range(first, last + 1):
            rows.append(check(name, images, seed, settings))
            print(f"{name} {seed}: {rows[-1]['gains'][ADVISED_FACTOR]}", flush=True)
    if given.out:
        write_json(given.out, {"rows": rows})
    show(rows, settings)


if __name__ == "__main__":
    main()
