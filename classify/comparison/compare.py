"""Recipes against one another, over several seeds: one table with intervals."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from classify.comparison.formatting import as_csv, as_markdown, draw_comparison, interval
from classify.comparison.sweep import Training, run_all
from classify.training.job import Lesson
from classify.training.recipes import GENERATED, recipe
from classify.training.settings import TrainSettings
from tgn.data.manifest import fingerprint
from tgn.data.runs import Run
from tgn.runtime.files import sha256_of, write_json, write_text
from tgn.runtime.progress import Progress

MEASURES = ("tail", "head", "balanced", "overall", "macro_f1")


@dataclass(frozen=True)
class Plan:
    """What is compared."""

    recipes: tuple[str, ...]
    seeds: int
    augmented: Path  # folder of generated images
    teacher: Path | None = None  # of the recipes that need one
    jobs: int = 1  # trainings at a time


def default_jobs() -> int:
    """Return one training at a time for each GPU, and at least one."""
    return max(torch.cuda.device_count(), 1)


def compare(run: Run, plan: Plan, settings: TrainSettings, progress: Progress) -> dict[str, Any]:
    """Train every recipe with every seed and write ``compare.{json,csv,md,png}``.

    A training that is there, made with the same settings, generated images and teacher, is not
    repeated: after a kill the comparison goes on where it was.
    """
    some = any(recipe(name).generated for name in plan.recipes)
    generated = fingerprint(plan.augmented, run.split()) if some else ""
    seeds = range(settings.seed, settings.seed + plan.seeds)
    trainings = [
        _training(run, plan, name, generated, settings.with_changes({"seed": seed}))
        for name in plan.recipes
        for seed in seeds
    ]
    rows = iter(run_all(run, trainings, plan.jobs, progress))
    results = {name: [next(rows) for _ in seeds] for name in plan.recipes}
    table = {
        "part": "test",
        "seeds": plan.seeds,
        "steps": settings.steps,
        "interval": "95%, Student's t over seeds",
        "generated_sha256": generated,
        "recipes": {name: _summaries(rows) for name, rows in results.items()},
        "gains": _gains(results),
        "against_first": _against_first(results),
        "per_class": {name: _per_class(rows) for name, rows in results.items()},
    }
    write_json(run.path / "compare.json", table)
    write_text(run.path / "compare.csv", as_csv(table))
    write_text(run.path / "compare.md", as_markdown(table))
    draw_comparison(table, run.path / "compare.png")
    return table


def _training(run: Run, plan: Plan, name: str, generated: str, settings: TrainSettings) -> Training:
    changes = recipe(name)
    settings = settings.with_changes(changes.settings)
    directory = run.path / "classify" / "compare" / f"{name}-seed{settings.seed}"
    made_with = {"settings": settings.model_dump(mode="json"), "generated": ""}
    if changes.generated:
        made_with["generated"] = generated
    if plan.teacher is not None and settings.method != "plain":
        made_with["teacher"] = sha256_of(plan.teacher)
    lesson = Lesson(
        directory,
        plan.augmented if changes.generated else None,
        images=changes.images,
        teacher=plan.teacher,
    )
    return Training(lesson, settings, made_with)


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
        plain = name.partition(GENERATED)[0]
        if plain != name and plain in results:
            gains[name.replace(GENERATED, "")] = _differences(rows, results[plain])
    return gains


def _against_first(results: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return every recipe's difference to the first one, paired by seed."""
    (_, first), *others = results.items()
    return {name: _differences(rows, first) for name, rows in others}


def _differences(rows: list[dict[str, Any]], others: list[dict[str, Any]]) -> dict[str, Any]:
    pairs = list(zip(rows, others, strict=True))
    return {m: interval([a[m] - b[m] for a, b in pairs]) for m in MEASURES}
