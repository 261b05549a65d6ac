"""The classification accuracy score, read from the results of ``classify compare``."""

from pathlib import Path
from typing import Any

from tgn.runtime.files import read_json
from tgn.scoring.results import AccuracyScore, Estimate, Scores

REAL, GENERATED = "real-tail-only", "generated-tail-only"
NAME = "classification_accuracy"
REMEDY = f"classify compare --recipes {REAL},{GENERATED} (with this folder as --augmented)"


def with_accuracy(scores: Scores, compare_json: Path, images: str) -> Scores:
    """Return the scores with the classification accuracy score added.

    Args:
        scores: of the images in ``folder``.
        compare_json: the result of ``classify compare``; need not exist.
        images: fingerprint of the scored images; without a comparison of these there is no score.

    Source: Ravuri and Vinyals 2019 (arXiv 1905.10887).
    """
    comparison = read_json(compare_json) if compare_json.is_file() else {"recipes": {}}
    recipes = comparison["recipes"]
    same = comparison.get("generated_sha256") == images
    if not (same and REAL in recipes and GENERATED in recipes):
        missing = {**scores.not_computed, NAME: REMEDY}
        return scores.model_copy(update={"not_computed": missing})
    accuracy = AccuracyScore(
        generated=_estimate(recipes[GENERATED]["tail"]),
        real=_estimate(recipes[REAL]["tail"]),
        seeds=comparison["seeds"],
    )
    return scores.model_copy(update={NAME: accuracy})


def _estimate(entry: dict[str, Any]) -> Estimate:
    mean, half = entry["mean"], entry["half_width"]
    if half is None:
        return Estimate(value=mean)
    return Estimate(value=mean, low=mean - half, high=mean + half)
