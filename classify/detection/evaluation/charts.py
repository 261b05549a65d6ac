"""Precision-recall curves and the confusion of classes as pictures, PNG bytes."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from classify.detection.evaluation.analysis.curves import RECALLS
from tgn.runtime.shown_text import for_chart

PANELS_PER_ROW, MOST_PANELS = 5, 60
MOST_CLASSES, NUMBERED_CLASSES = 100, 16  # of a drawn confusion, and of one with numbers in it
BLUE = "#4c72b0"


def draw_curves(curves: Mapping[str, Mapping[str, Any]]) -> bytes | None:
    """Draw precision over recall, a panel a class, of the first classes; None without any.

    Args:
        curves: as :func:`class_curves` returns them.
    """
    shown = list(curves.items())[:MOST_PANELS]
    if not shown:
        return None
    columns = min(PANELS_PER_ROW, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(2.1 * columns + 0.6, 1.9 * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten()
    for panel, (name, curve) in zip(panels, shown, strict=False):
        panel.plot(RECALLS, curve["precision"], color=BLUE)
        panel.fill_between(RECALLS, curve["precision"], color=BLUE, alpha=0.15)
        panel.set_title(f"{for_chart(name, 18)} {100 * np.mean(curve['precision']):.0f}", size=8)
        panel.set(xlim=(0, 1), ylim=(0, 1.02))
        panel.grid(linewidth=0.3)
        panel.tick_params(labelsize=7)
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    figure.supxlabel("recall", size=9)
    figure.supylabel("precision", size=9)
    return _png(figure)


def draw_confusion(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> bytes | None:
    """Draw a confusion matrix: rows are labelled classes, each sums to 1; None for very many.

    Args:
        labels: names of rows and columns, background last.
        matrix: counts.
    """
    if len(labels) > MOST_CLASSES:
        return None
    counts = np.array(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [for_chart(name, 20) for name in labels]
    side = 2.2 + 0.33 * len(names)
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_xlabel("detected as")
    axes.set_ylabel("labelled")
    if len(names) <= NUMBERED_CLASSES:
        for (row, column), count in np.ndenumerate(counts):
            ink = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", size=6, color=ink)
    figure.colorbar(picture, shrink=0.7)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    return stream.getvalue()
