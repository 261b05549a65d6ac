"""Comparison of recipes over several seeds: one table with confidence intervals."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from classify.comparison.costs import Cost, read_cost
from classify.comparison.formatting import as_csv, as_markdown, draw_comparison, interval
from classify.comparison.settings import ZeroShotSettings
from classify.comparison.sweep import PlannedTraining, run_sweep
from classify.comparison.verdict import verdict
from classify.comparison.zero_shot import check_clip, zero_shot_record
from classify.probe.settings import ProbeFeatureSettings, ProbeSettings
from classify.training.effects import check_common_effects, of_recipe
from classify.training.job import TrainingJob, made_from
from classify.training.layout import METRICS
from classify.training.recipes import (
    GENERATED,
    USE,
    Recipe,
    naming_recipe,
    recipe,
    with_recipe_over,
)
from classify.training.settings import TrainSettings
from classify.training.train import planned_phases
from classify.training.written import METRIC_NAMES
from tgn.data.made_from import IMAGES, MADE_FROM, SPLIT
from tgn.data.runs import Run
from tgn.runtime.files import sha256_of, write_json, write_text
from tgn.runtime.locks import kept_unchanged
from tgn.runtime.progress import Progress


@dataclass(frozen=True)
class ComparisonPlan:
    """What is compared."""

    recipes: tuple[str, ...]
    seeds: int
    augmented: Path  # folder of generated images, for recipes that use them
    teacher: Path | None = None  # of the recipes that need one
    jobs: int = 1  # trainings at a time
    probe: ProbeFeatureSettings = field(default_factory=ProbeFeatureSettings)
    clip: str | None = None  # of the recipe clip-zero-shot


def default_jobs() -> int:
    """Return the number of GPUs, at least 1: one training at a time on each."""
    return max(torch.cuda.device_count(), 1)


def compare(
    run: Run, plan: ComparisonPlan, settings: TrainSettings, progress: Progress
) -> dict[str, Any]:
    """Train every recipe with every seed and write ``compare.{json,csv,md,png}``.

    A finished training with the same settings, generated images and teacher is not repeated, so an
    interrupted comparison is continued.

    Returns:
        The content of ``compare.json``; accuracies in [0, 1].

    Raises:
        UserError: see :func:`planned_trainings`.
    """
    with kept_unchanged(plan.augmented):
        return _compare(run, plan, settings, progress)


def _compare(
    run: Run, plan: ComparisonPlan, settings: TrainSettings, progress: Progress
) -> dict[str, Any]:
    trainings = planned_trainings(run, plan, settings)
    seeds = _seeds(plan, settings)
    rows = iter(run_sweep(run, trainings, plan.jobs, progress))
    results = {name: [next(rows) for _ in seeds] for name in plan.recipes}
    table = {
        "part": "test",
        "seeds": plan.seeds,
        "first_seed": settings.seed,
        "steps": settings.steps if settings.epochs is None else None,
        "epochs": settings.epochs,
        "interval": "95%, Student's t over seeds",
        **_sources(run, plan, trainings),
        "recipes": {name: _summaries(rows) for name, rows in results.items()},
        "gains": _gains(results),
        "against_first": _against_first(results),
        "per_class": {name: _per_class(rows) for name, rows in results.items()},
        "costs": _costs(plan.recipes, [read_cost(one.job.directory) for one in trainings]),
    }
    table["verdict"] = verdict(table)
    run.comparison_file.unlink(missing_ok=True)  # the other files are of this one table
    write_text(run.comparison_file.with_suffix(".csv"), as_csv(table))
    write_text(run.comparison_file.with_suffix(".md"), as_markdown(table))
    draw_comparison(table, run.comparison_file.with_suffix(".png"))
    write_json(run.comparison_file, table)
    return table


def _sources(
    run: Run, plan: ComparisonPlan, trainings: Sequence[PlannedTraining]
) -> dict[str, Any]:
    """Return what the table is made from, for those who read it later."""
    records = [one.made_with for one in trainings]
    generated = next((record["generated"] for record in records if record["generated"]), "")
    images = {IMAGES: generated} if generated else {}
    first = trainings[:: plan.seeds]
    metrics = [sha256_of(one.job.directory / METRICS) for one in first]
    return {
        "generated_sha256": generated,
        "generated_folder": "" if plan.augmented == run.generated else str(plan.augmented),
        MADE_FROM: {SPLIT: records[0][SPLIT], **images},
        "first_metrics": dict(zip(plan.recipes, metrics, strict=True)),
    }


def planned_trainings(
    run: Run, plan: ComparisonPlan, settings: TrainSettings
) -> list[PlannedTraining]:
    """Return the trainings of a comparison: of every recipe, with every seed.

    Raises:
        UserError: naming the recipe, if a setting was given that it sets otherwise, settings do not
            go with it, or a teacher or CLIP is missing; or for a setting of generated images or of
            second stages that has no effect in any recipe.
        NotFoundError: if a recipe needs generated images and there are none.
    """
    check_clip(plan.recipes, plan.clip)
    chosen = {name: (with_recipe_over(settings, name), recipe(name)) for name in plan.recipes}
    check_common_effects(chosen)
    planned = []
    for name, (common, found) in chosen.items():
        changed = of_recipe(common, found)
        for seed in _seeds(plan, settings):
            with naming_recipe(name):
                one = changed.with_changes({"seed": seed})
                planned.append(_planned(run, plan, name, one))
    return planned


def _seeds(plan: ComparisonPlan, settings: TrainSettings) -> range:
    return range(settings.seed, settings.seed + plan.seeds)


def _planned(run: Run, plan: ComparisonPlan, name: str, settings: TrainSettings) -> PlannedTraining:
    changes = recipe(name)
    job = TrainingJob(
        run.comparison / f"{name}-seed{settings.seed}",
        plan.augmented if changes.generated else None,
        images=changes.images,
        teacher=plan.teacher,
    )
    if changes.zero_shot and plan.clip is not None:
        zero_shot = ZeroShotSettings(clip=plan.clip, device=settings.device)
        return PlannedTraining(job, settings, zero_shot_record(run, plan.clip), None, zero_shot)
    if changes.probe is not None:
        return _planned_probe(run, plan, job, changes, settings)
    phases = planned_phases(run, job, settings)
    # Not phase_settings: finished comparisons have the job's settings, with the last phase's head.
    trained_with = settings.resolved(new_head=phases[-1].has_new_head)
    made_with = {
        "settings": trained_with.model_dump(mode="json"),
        "generated": "",
        **made_from(job, run, phases),
    }
    return PlannedTraining(job, settings, made_with)


def _planned_probe(
    run: Run, plan: ComparisonPlan, job: TrainingJob, changes: Recipe, settings: TrainSettings
) -> PlannedTraining:
    """Plan a probe, which depends on the probe's settings alone and on no others."""
    shared = {key: getattr(settings, key) for key in ("seed", "device", "bands")}
    probe = ProbeSettings.model_validate(
        {**plan.probe.model_dump(), **(changes.probe or {}), **shared}
    )
    made_with = {
        "settings": {},
        "probe": probe.model_dump(mode="json"),
        "generated": "",
        "generated_ratio": settings.generated_ratio if changes.generated else None,
        **made_from(job, run, phases=()),
    }
    return PlannedTraining(job, settings, made_with, probe)


def _summaries(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {metric: interval([row[metric] for row in rows]) for metric in _known(rows)}


def _known(rows: list[dict[str, Any]]) -> list[str]:
    """Return the metrics that these data have: a group may be without classes."""
    return [metric for metric in METRIC_NAMES if all(row[metric] is not None for row in rows)]


def _costs(recipes: tuple[str, ...], costs: list[Cost | None]) -> dict[str, Any]:
    """Return seconds (mean) and memory (largest) of a training of each recipe, None if unknown."""
    seeds = len(costs) // len(recipes)
    groups = [costs[k * seeds : (k + 1) * seeds] for k in range(len(recipes))]
    return {name: _cost(group) for name, group in zip(recipes, groups, strict=True)}


def _cost(costs: list[Cost | None]) -> dict[str, Any] | None:
    known = [cost for cost in costs if cost is not None]
    if len(known) < len(costs):
        return None
    peaks = [cost.peak_mib for cost in known if cost.peak_mib is not None]
    seconds = float(np.mean([cost.seconds for cost in known]))
    return {"seconds": seconds, "peak_mib": max(peaks, default=None)}


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
    """Return the gain of each recipe by generated images, paired by seed."""
    gains = {}
    for name, rows in results.items():
        base = name.partition(GENERATED)[0]
        if base != name and base in results:
            title = name.replace(USE, " by ").replace(GENERATED, "")
            gains[title] = _differences(rows, results[base])
    return gains


def _against_first(results: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return the difference of every recipe to the first one, paired by seed."""
    (_, first), *others = results.items()
    return {name: _differences(rows, first) for name, rows in others}


def _differences(rows: list[dict[str, Any]], others: list[dict[str, Any]]) -> dict[str, Any]:
    pairs = list(zip(rows, others, strict=True))
    return {m: interval([a[m] - b[m] for a, b in pairs]) for m in _known([*rows, *others])}
