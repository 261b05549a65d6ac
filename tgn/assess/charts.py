"""The learning curve as a picture."""

import io
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

MEASURED, PREDICTED = "#4c72b0", "#dd8452"


def draw_learning_curve(curve: Mapping[str, Any]) -> bytes:
    """Return a PNG: measured and predicted accuracy of the rare classes over their images.

    Args:
        curve: ``learning_curve`` of ``assess.json``.
    """
    figure = Figure(figsize=(6.5, 3.6), layout="constrained")
    axes = figure.subplots()
    shares = sorted((float(share), value) for share, value in curve["measured"].items())
    measured = [share for share, _ in shares], [100 * value for _, value in shares]
    axes.plot(*measured, "o-", color=MEASURED, label="measured on images left out")
    futures = list(curve["more_images"].values())
    factors = [1, *(one["factor"] for one in futures)]
    means = [100 * curve["today"], *(100 * one["accuracy"] for one in futures)]
    low = [0.0, *(100 * (one["gain"] - one["low"]) for one in futures)]
    high = [0.0, *(100 * (one["high"] - one["gain"]) for one in futures)]
    axes.errorbar(
        factors,
        means,
        (low, high),
        fmt="s--",
        color=PREDICTED,
        capsize=4,
        label="predicted, interval of the gain",
    )
    axes.set_xscale("log", base=2)
    ticks = [0.25, 0.5, 1, 2, 4, 8]
    axes.set_xticks(ticks, ["¼", "½", "today", "× 2", "× 4", "× 8"])
    axes.set_xlabel("images of the rare classes")
    axes.set_ylabel("accuracy of rare classes, %")
    axes.set_ylim(top=min(101, axes.get_ylim()[1]))
    axes.grid(linewidth=0.3)
    axes.legend(fontsize=8, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120)
    return stream.getvalue()
