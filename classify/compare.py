"""Recipes against one another, over several seeds: one table with intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from classify.course import train_classifier
from classify.lessons import Lesson
from classify.recipes import GENERATED, recipe
from classify.settings import TrainSettings
from tgn.core.files import atomic_path, read_json, write_json
from tgn.core.manifest import fingerprint
from tgn.core.progress import Progress
from tgn.core.runs import Run

MEASURES = ("tail", "head", "balanced", "overall", "macro_f1")


@dataclass(frozen=True)
class Plan:
    """What is compared."""

    recipes: tuple[str, ...]
    seeds: int
    augmented: Path  # folder of generated images


def compare(run: Run, plan: Plan, settings: TrainSettings, progress: Progress) -> dict[str, Any]:
    """Train every recipe with every seed and write ``compare.json`` and ``compare.png``.

    A training that is there, made with the same settings and the same generated images, is not
    repeated: after a kill the comparison goes on where it was.
    """
    some = any(recipe(name).generated for name in plan.recipes)
    generated = fingerprint(plan.augmented, run.split()) if some else ""
    results: dict[str, list[dict[str, Any]]] = {}
    for name in plan.recipes:
        made = (plan.augmented, generated) if recipe(name).generated else (None, "")
        results[name] = [
            _one(run, name, made, settings.model_copy(update={"seed": seed}), progress)
            for seed in range(settings.seed, settings.seed + plan.seeds)
        ]
    table = {
        "part": "test",
        "seeds": plan.seeds,
        "steps": settings.steps,
        "interval": "95%, Student's t over seeds",
        "generated_sha256": generated,
        "recipes": {name: _summaries(rows) for name, rows in results.items()},
        "gains": _gains(results),
        "per_class": {name: _per_class(rows) for name, rows in results.items()},
    }
    write_json(run.path / "compare.json", table)
    _draw(table, run.path / "compare.png")
    return table


def _one(
    run: Run,
    name: str,
    generated: tuple[Path | None, str],  # folder, fingerprint
    settings: TrainSettings,
    progress: Progress,
) -> dict[str, Any]:
    changes = recipe(name)
    settings = settings.with_changes(changes.settings)
    directory = run.path / "classify" / "compare" / f"{name}-seed{settings.seed}"
    made_with = {"settings": settings.model_dump(mode="json"), "generated": generated[1]}
    record = directory / "made_with.json"
    same = record.is_file() and read_json(record) == made_with
    if same and (directory / "metrics.json").is_file():
        return read_json(directory / "metrics.json")
    (directory / "metrics.json").unlink(missing_ok=True)
    write_json(record, made_with)
    lesson = Lesson(directory, generated[0], resume=same, images=changes.images)
    return train_classifier(run, lesson, settings, progress)


def _summaries(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {measure: interval([row[measure] for row in rows]) for measure in MEASURES}


def _per_class(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return name, training images and mean accuracy of each class, None without test images."""
    classes = []
    for entries in zip(*(row["per_class"] for row in rows), strict=True):
        known = [entry["accuracy"] for entry in entries if entry["accuracy"] is not None]
        accuracy = float(np.mean(known)) if known else None
        first = entries[0]
        classes.append({"name": first["name"], "train": first["train"], "accuracy": accuracy})
    return classes


def _gains(results: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return what generated images add to each recipe, paired by seed."""
    gains = {}
    for name, rows in results.items():
        plain = name.removesuffix(GENERATED)
        if plain != name and plain in results:
            pairs = list(zip(rows, results[plain], strict=True))
            gains[plain] = {m: interval([a[m] - b[m] for a, b in pairs]) for m in MEASURES}
    return gains


def interval(values: Sequence[float]) -> dict[str, Any]:
    """Return mean and half-width of the 95% t-interval; the half-width of one value is null."""
    mean, n = float(np.mean(values)), len(values)
    if n < 2:
        return {"mean": mean, "half_width": None, "values": list(values)}
    error = float(np.std(values, ddof=1)) / math.sqrt(n)
    half_width = float(stats.t.ppf(0.975, n - 1)) * error
    return {"mean": mean, "half_width": half_width, "values": list(values)}


def shown(entry: dict[str, Any]) -> str:
    """Return "mean ± half-width" in percent."""
    half = entry["half_width"]
    return f"{100 * entry['mean']:.1f}" + ("" if half is None else f" ± {100 * half:.1f}")


def _draw(table: dict[str, Any], path: Path) -> None:
    """Draw tail and head accuracy of every recipe with their intervals."""
    recipes = table["recipes"]
    figure = Figure(figsize=(7, 1.2 + 0.45 * len(recipes)), layout="constrained")
    axes = figure.subplots()
    for offset, measure, colour in ((-0.15, "tail", "#dd8452"), (0.15, "head", "#4c72b0")):
        entries = [row[measure] for row in recipes.values()]
        axes.errorbar(
            [100 * entry["mean"] for entry in entries],
            [place + offset for place in range(len(entries))],
            xerr=[100 * (entry["half_width"] or 0) for entry in entries],
            fmt="o",
            color=colour,
            capsize=3,
            label=f"{measure} classes",
        )
    axes.set_yticks(range(len(recipes)), list(recipes))
    axes.invert_yaxis()
    axes.set_xlabel("accuracy on real test images, %")
    axes.legend(fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
