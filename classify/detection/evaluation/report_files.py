"""The files of an evaluation: numbers, a table of classes and a page, under one name."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from classify.detection.average_precision import Detections
from classify.detection.data.dataset import DetectionDataset
from classify.detection.evaluation.analysis.analyse import analyse
from classify.detection.evaluation.analysis.counts import worst_first
from classify.detection.evaluation.analysis.outcomes import image_outcomes
from classify.detection.evaluation.evaluate import evaluate_detections, ground_truths
from classify.detection.evaluation.page import worst_images, write_page
from tgn.runtime.files import write_json, write_text

WORST_LISTED = 100  # images in the JSON file


def write_evaluation(
    path: Path,
    title: str,
    data: DetectionDataset,
    detections: Sequence[Detections],
    min_score: float,
) -> dict[str, Any]:
    """Write ``.json`` and ``.csv``, and where any object is labelled ``.html``.

    Args:
        path: of the files; gets their suffixes.
        title: of the page.
        data: images with annotations.
        detections: of each image, in the order of ``data``.
        min_score: of confusion, kinds of errors and pictures.

    Returns:
        What :func:`evaluate_detections` returns, and the analysis.
    """
    result = evaluate_detections(data, list(detections))
    truths = ground_truths(data)
    outcomes = [image_outcomes(*pair, min_score) for pair in zip(truths, detections, strict=True)]
    order = worst_first(outcomes)
    result["analysis"] = analyse(truths, detections, data.classes, outcomes, min_score)
    result["analysis"]["worst_images"] = [
        {
            "image": str(data.images[k].path),
            "f1": round(outcomes[k].f1, 6),
            "false": outcomes[k].num_false,
            "missed": outcomes[k].num_missed,
        }
        for k in order[:WORST_LISTED]
    ]
    write_json(with_ending(path, ".json"), result)
    write_text(with_ending(path, ".csv"), _table(result["by_class"]))
    if any(row["objects"] for row in result["by_class"]):
        worst = worst_images(data, detections, outcomes, order, min_score)
        write_page(with_ending(path, ".html"), title, result, worst)
    return result


def with_ending(path: Path, ending: str) -> Path:
    """Return a path with an ending behind its name, which may have dots."""
    return path.with_name(path.name + ending)


def _table(rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()
