"""The contents of the page, read from the files of a run; missing files leave parts empty."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from tgn.data.comparison_table import ComparisonTable
from tgn.data.made_from import IMAGES, other_generator
from tgn.data.manifest import FILTERED, MANIFEST, ManifestRow, active_rows
from tgn.data.run_layout import CONFUSION_PICTURE, METRICS, SCORES_FORMAT
from tgn.data.runs import Run
from tgn.data.split import Split
from tgn.report.charts import class_accuracies, class_histogram
from tgn.report.embedded_images import closest_pairs, picture, samples
from tgn.report.reading import RunReader
from tgn.report.result_files import Assessment, FilterReport, NearestImage
from tgn.report.trainings import trainings
from tgn.runtime.explanations import content_of
from tgn.runtime.files import read_json, read_model, sha256_of
from tgn.runtime.html_pages import data_uri
from tgn.runtime.remedies import remedy_for
from tgn.scoring.results import Scores

CHANGED_BY_HAND = "It kept {kept} images; others were kept by hand since: {used} are used now"
PARTS_OF_COMPARISON = ("compare", "verdict", "compare_picture", "class_accuracy", "confusions")


def collect_contents(run: Run) -> dict[str, Any]:
    """Return the values of the page's template."""
    reader, split = RunReader(run), run.split()
    rows = reader.attempt("images", lambda: _manifest(run.generated, split)) or []
    reader.say("images", other_generator(run, rows))
    return {
        "run": run.name,
        "split": split,
        "histogram": data_uri(class_histogram(split, Counter(row.folder for row in rows))),
        "assessment": _assessment(reader),
        "filter": _filter(reader, rows),
        **_comparison(reader),
        **_scores(reader, rows),
        **trainings(reader),
        "notes": reader.notes,
    }


def _manifest(folder: Path, split: Split) -> list[ManifestRow]:
    return list(active_rows(folder, split)) if (folder / MANIFEST).is_file() else []


def _assessment(reader: RunReader) -> Assessment | None:
    again = "tgn assess"
    found = reader.model("assess", reader.run.assessment_file, Assessment)
    if found is not None:
        use = found.generated
        folder = None if use is None or use.is_of_run else Path(use.folder)
        reader.fits("assess", found.made_from, again, folder)
    return found


def _filter(reader: RunReader, rows: Sequence[ManifestRow]) -> dict[str, Any] | None:
    """Return the report of ``tgn filter`` and its picture, if the folder is filtered."""
    folder, again = reader.run.generated, "tgn filter"
    if not (folder / FILTERED).is_file():
        return None
    found = reader.model("filter", folder / "filter.json", FilterReport)
    if found is None:
        return None
    sources = dict(found.made_from)
    if sources and sources.pop(IMAGES, "") != sha256_of(folder / FILTERED):
        reader.say("filter", CHANGED_BY_HAND.format(kept=found.kept, used=len(rows)))
    reader.fits("filter", sources, again)
    return {**dict(found), "picture": picture(folder / "filter.png")}


def _comparison(reader: RunReader) -> dict[str, Any]:
    """Return the table of ``classify compare`` and its pictures."""
    run, again = reader.run, "classify compare"
    table = reader.model("compare", run.comparison_file, ComparisonTable)
    if table is None:
        return dict.fromkeys(PARTS_OF_COMPARISON)
    of_older = {IMAGES: table.generated_sha256} if table.generated_sha256 else {}
    folder = Path(table.generated_folder) if table.generated_folder else None
    fits = reader.fits("compare", table.made_from or of_older, again, folder)
    return {
        "compare": table,
        "verdict": table.verdict if fits else None,
        "compare_picture": picture(run.comparison_file.with_suffix(".png")),
        "class_accuracy": _class_accuracies(table),
        "confusions": _confusions(run, table),
    }


def _class_accuracies(table: ComparisonTable) -> str | None:
    """Return a chart of each class's accuracy by recipe, with and without generated images."""
    rows = {name: [dict(one) for one in classes] for name, classes in table.per_class.items()}
    return data_uri(class_accuracies(rows)) if rows else None


def _confusions(run: Run, table: ComparisonTable) -> dict[str, str]:
    """Return the confusion matrix of the first seed of each recipe, of trainings in the table."""
    matrices = {}
    for name in table.recipes:
        folder = run.comparison / f"{name}-seed{table.first_seed}"
        known, metrics = table.first_metrics.get(name), folder / METRICS
        if known and not (metrics.is_file() and sha256_of(metrics) == known):
            continue  # trained anew since
        if matrix := picture(folder / CONFUSION_PICTURE):
            matrices[name] = matrix
    return matrices


def _scores(reader: RunReader, rows: Sequence[ManifestRow]) -> dict[str, Any]:
    """Return the newest scores of the run's own images, and pictures with the nearest real ones.

    Pictures show images as they are now, so they are left out where those were not scored.
    """
    run, again = reader.run, "tgn score"
    path = _newest_scores(run.scores)
    content = reader.attempt("scores", lambda: read_json(path)) if path else None
    is_old = content is not None and content.get("format") != SCORES_FORMAT
    scores = None
    if path and content is not None and not is_old:
        scores = reader.attempt("scores", lambda: read_model(path, Scores))
    fits = scores is not None and reader.fits("scores", scores.made_from, again)
    nearest: dict[str, NearestImage] = {}
    if path and scores and fits:
        file = path.with_suffix(".nearest.json")
        nearest = reader.attempt("scores", lambda: _nearest(file)) or {}
    return {
        "scores": scores,
        "scores_are_old": is_old,
        "scores_fit": fits,
        "samples": samples(run, run.split(), rows, nearest),
        "closest": closest_pairs(run, scores) if scores and fits else [],
    }


def _newest_scores(folder: Path) -> Path | None:
    files = [path for path in folder.glob("generated-*.json") if path.suffixes[-2:-1] == []]
    return max(files, key=lambda path: path.stat().st_mtime_ns, default=None)


def _nearest(path: Path) -> dict[str, NearestImage]:
    if not path.is_file():
        return {}
    with content_of(path, remedy_for(path)):
        return TypeAdapter(dict[str, NearestImage]).validate_python(read_json(path))
