"""The classification accuracy score, read from the results of ``classify compare``."""

from pathlib import Path

from tgn.data.comparison_table import ComparisonTable, Interval
from tgn.data.made_from import IMAGES, SPLIT, same_sources
from tgn.runtime.errors import DataError
from tgn.runtime.files import read_model
from tgn.scoring.results import AccuracyScore, Estimate, Scores

REAL, GENERATED = "real-tail-only", "generated-tail-only"
NAME = "classification_accuracy"
REMEDY = f"classify compare --recipes {REAL},{GENERATED} (with this folder as --augmented)"


def with_accuracy(scores: Scores, compare_json: Path) -> Scores:
    """Return the scores with the classification accuracy score added.

    Args:
        scores: of a folder; without a comparison of the same images and split there is no score.
        compare_json: the result of ``classify compare``; need not exist.

    Source: Ravuri and Vinyals 2019 (arXiv 1905.10887).
    """
    try:
        table = read_model(compare_json, ComparisonTable)
    except (DataError, FileNotFoundError) as error:
        return _without(scores, f"{error}; " if isinstance(error, DataError) else "")
    wanted = {fact: scores.made_from[fact] for fact in (SPLIT, IMAGES)}
    same = same_sources({**table.made_from, IMAGES: table.generated_sha256}, wanted)
    generated, real = (table.recipes.get(name, {}).get("tail") for name in (GENERATED, REAL))
    if not same or generated is None or real is None:
        return _without(scores)
    accuracy = AccuracyScore(
        generated=_estimate(generated), real=_estimate(real), seeds=table.seeds
    )
    return scores.model_copy(update={NAME: accuracy})


def _without(scores: Scores, why: str = "") -> Scores:
    missing = {**scores.not_computed, NAME: f"{why}{REMEDY}"}
    return scores.model_copy(update={"not_computed": missing})


def _estimate(entry: Interval) -> Estimate:
    mean, half = entry.mean, entry.half_width
    if half is None:
        return Estimate(value=mean)
    return Estimate(value=mean, low=mean - half, high=mean + half)
