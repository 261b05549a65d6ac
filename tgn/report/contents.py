"""The contents of the page, read from the files of a run; missing files leave parts empty."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tgn.data.manifest import FILTERED, MANIFEST, ManifestRow, active_rows
from tgn.data.run_layout import CONFUSION_PICTURE, SCORES_FORMAT
from tgn.data.runs import Run
from tgn.data.split import Split
from tgn.report.charts import class_accuracies, class_histogram, training_curves
from tgn.report.embedded_images import closest_pairs, data_uri, newest_picture, picture, samples
from tgn.runtime.files import read_json, read_json_lines

VERBS = ("run", "distill", "train", "generate")
CDTG = "cdtg"


def collect_contents(run: Run) -> dict[str, Any]:
    """Return the values of the page's template."""
    split = run.split()
    rows = _manifest(run.generated, split)
    scores, nearest = _newest_scores(run.scores)
    compare = _json(run.comparison_file)
    backend = (run.recorded("train") or {}).get("backend", CDTG)
    return {
        "run": run.name,
        "split": split,
        "histogram": data_uri(class_histogram(split, Counter(row.folder for row in rows))),
        "records": {verb: record for verb in VERBS if (record := run.recorded(verb))},
        "accuracy": _json(run.kmdn / "accuracy.json"),
        "curves": {
            stage: _curves(run.path / stage / "metrics.jsonl") for stage in ("kmdn", backend)
        },
        "grid": newest_picture(run.path / backend / "grids"),
        "alarms": _lines(run.path / backend / "alarms.jsonl"),
        "samples": samples(run, split, rows, nearest),
        "closest": closest_pairs(run, scores) if scores and not scores["is_old"] else [],
        "filter": _filter(run.generated),
        "scores": scores,
        "assessment": _json(run.assessment_file),
        "compare": compare,
        "verdict": (compare or {}).get("verdict"),
        "compare_picture": picture(run.comparison_file.with_suffix(".png")),
        "class_accuracy": _class_accuracies(compare),
        "confusions": _confusions(run, compare),
    }


def _json(path: Path) -> Any:
    return read_json(path) if path.is_file() else None


def _lines(path: Path) -> list[dict[str, Any]]:
    return list(read_json_lines(path)) if path.is_file() else []


def _curves(path: Path) -> str | None:
    chart = training_curves(_lines(path))
    return data_uri(chart) if chart else None


def _newest_scores(folder: Path) -> tuple[Any, dict[str, Any]]:
    """Return the newest scores of the run's own images, and the nearest real image of each.

    Of a file of an older version only that it is one, under ``is_old``.
    """
    candidates = [path for path in folder.glob("generated-*.json") if path.suffixes[-2:-1] == []]
    if not candidates:
        return None, {}
    newest = max(candidates, key=lambda path: path.stat().st_mtime_ns)
    scores = read_json(newest)
    if scores.get("format") != SCORES_FORMAT:
        return {"is_old": True}, {}
    return {"is_old": False, **scores}, _json(newest.with_suffix(".nearest.json")) or {}


def _manifest(folder: Path, split: Split) -> list[ManifestRow]:
    return list(active_rows(folder, split)) if (folder / MANIFEST).is_file() else []


def _filter(folder: Path) -> dict[str, Any] | None:
    """Return the report of ``tgn filter`` and its picture, if the folder is filtered."""
    if not (folder / FILTERED).is_file() or not (folder / "filter.json").is_file():
        return None
    return {**read_json(folder / "filter.json"), "picture": picture(folder / "filter.png")}


def _class_accuracies(compare: Mapping[str, Any] | None) -> str | None:
    """Return a chart of each class's accuracy by recipe, with and without generated images."""
    by_recipe = (compare or {}).get("per_class") or {}
    return data_uri(class_accuracies(by_recipe)) if by_recipe else None


def _confusions(run: Run, compare: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the confusion matrix of the first seed of each recipe."""
    matrices = {}
    for name in (compare or {}).get("recipes", {}):
        folders = sorted(run.comparison.glob(f"{name}-seed*/{CONFUSION_PICTURE}"))
        if folders and (matrix := picture(folders[0])):
            matrices[name] = matrix
    return matrices
