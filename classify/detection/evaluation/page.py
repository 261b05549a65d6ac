"""The page of an evaluation: classes, curves, confusion, kinds of errors, the worst images."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from classify.detection.average_precision import Detections
from classify.detection.data.dataset import DetectionDataset
from classify.detection.evaluation.analysis.outcomes import KINDS, Outcomes
from classify.detection.evaluation.charts import draw_confusion, draw_curves
from classify.detection.evaluation.visualize import drawn
from tgn.runtime.files import write_text
from tgn.runtime.html_pages import data_uri, page_environment

WORST_SHOWN, PICTURE_SIDE = 12, 480  # images; pixels


class WorstImage(NamedTuple):
    """One image of the page."""

    name: str
    outcomes: Outcomes
    uri: str  # of the picture


def worst_images(
    data: DetectionDataset,
    detections: Sequence[Detections],
    outcomes: Sequence[Outcomes],
    order: Sequence[int],
    min_score: float,
) -> list[WorstImage]:
    """Return pictures of the first images with an error, labels in white.

    Args:
        data: the images.
        detections: an entry an image.
        outcomes: an entry an image.
        order: of the images, the worst first.
        min_score: of the detections that are drawn.
    """
    wrong = [k for k in order if outcomes[k].f1 < 1][:WORST_SHOWN]
    found = []
    for k in wrong:
        picture = drawn(data.images[k], detections[k], data.classes, min_score)
        picture.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=85)
        uri = data_uri(stream.getvalue(), "image/jpeg")
        found.append(WorstImage(data.images[k].path.name, outcomes[k], uri))
    return found


def write_page(
    path: Path, title: str, result: Mapping[str, Any], worst: Sequence[WorstImage]
) -> None:
    """Write one self-contained HTML file.

    Args:
        path: of the file.
        title: what was evaluated on what.
        result: as :func:`evaluate_detections` and, under ``analysis``, :func:`analyse` return it.
        worst: from :func:`worst_images`.
    """
    analysis = result["analysis"]
    confusion, rows = analysis["confusion"], analysis["errors"].values()
    curves = draw_curves(analysis["curves"])
    matrix = draw_confusion(confusion["labels"], confusion["matrix"])
    template = page_environment("classify.detection.evaluation").get_template("evaluation.html.j2")
    page = template.render(
        title=title,
        result=result,
        analysis=analysis,
        kinds=KINDS,
        totals=[sum(column) for column in zip(*(row.values() for row in rows), strict=True)],
        curves=curves and data_uri(curves),
        confusion=matrix and data_uri(matrix),
        worst=worst,
    )
    write_text(path, page)
