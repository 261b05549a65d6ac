"""What every trained classifier leaves in its folder."""

from pathlib import Path
from typing import Any

from classify.evaluation.calibration import draw_reliability
from classify.evaluation.evaluate import draw_confusion
from classify.training.layout import (
    CHECKPOINT,
    CONFUSION_PICTURE,
    METRICS,
    RELIABILITY_PICTURE,
    SETTINGS,
)
from tgn.models.backbones import TappedNet, save_classifier
from tgn.runtime.config import Settings
from tgn.runtime.errors import DataError
from tgn.runtime.files import read_json, write_json, write_text
from tgn.runtime.remedies import remedy_for

# Accuracies and others of the test part; None where a group has no class.
METRIC_NAMES = ("balanced", "head", "tail", "many", "medium", "few", "overall", "macro_f1")


def read_trained(directory: Path) -> dict[str, Any]:
    """Return the metrics that :func:`write_trained` wrote.

    Raises:
        DataError: if the file holds anything else.
    """
    path = directory / METRICS
    found = read_json(path)
    if missing := sorted({*METRIC_NAMES, "per_class"} - found.keys()):
        raise DataError(
            f"{path} is damaged or of another kind: no {', '.join(missing)}; {remedy_for(path)}"
        )
    return found


def write_trained(
    directory: Path, net: TappedNet | None, result: dict[str, Any], settings: Settings
) -> None:
    """Write a classifier and its metrics; ``metrics.json`` last, as the sign of the end.

    Args:
        directory: of the classifier.
        net: None for a classifier that is no single network; the file of an earlier one is deleted.
        result: content of ``metrics.json``.
        settings: with which it was trained.
    """
    if net is None:
        (directory / CHECKPOINT).unlink(missing_ok=True)
    else:
        save_classifier(directory / CHECKPOINT, net)
    write_text(directory / SETTINGS, settings.explained() + "\n")
    draw_confusion(result, directory / CONFUSION_PICTURE)
    draw_reliability(result, directory / RELIABILITY_PICTURE)
    write_json(directory / METRICS, result)
