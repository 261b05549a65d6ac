"""Calibration of probabilities: expected calibration error and reliability diagram."""

from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from tgn.runtime.files import atomic_path

BINS = 15


class Reliability:
    """Accumulates predictions in bins of their confidence, the largest class probability."""

    def __init__(self) -> None:
        self.sums = torch.zeros(3, BINS, dtype=torch.float64)  # images, hits, confidence

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Add the logits [B, C] of images with labels [B]."""
        confidence, predicted = logits.float().softmax(1).max(1)
        bin_of = (confidence * BINS).long().clamp(max=BINS - 1).cpu()
        hits = (predicted == labels.to(predicted.device)).double().cpu()
        for row, values in enumerate((torch.ones_like(hits), hits, confidence.double().cpu())):
            self.sums[row].index_add_(0, bin_of, values)

    def summary(self) -> dict[str, Any]:
        """Return the expected calibration error (ECE) and the bins that have images.

        ECE = sum over bins of n_b / n |accuracy_b - confidence_b|, in [0, 1], 15 equal bins.
        Source: Guo et al. 2017 (arXiv 1706.04599), eq. 5.
        """
        count, hits, confidence = self.sums
        error = (hits - confidence).abs().sum() / count.sum().clamp(min=1)
        bins = [
            {"n": int(n), "accuracy": float(h / n), "confidence": float(c / n)}
            for n, h, c in self.sums.T
            if n > 0
        ]
        return {"ece": float(error), "reliability": bins}


def draw_reliability(result: dict[str, Any], path: Path) -> None:
    """Write the reliability diagram as a PNG: accuracy against confidence, the diagonal is ideal.

    Args:
        result: with ``ece`` and ``reliability``, as :meth:`Reliability.summary` returns them.
        path: of the PNG.
    """
    bins = result["reliability"]
    largest = max((row["n"] for row in bins), default=1)
    figure = Figure(figsize=(4, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot((0, 1), (0, 1), color="#888888", linewidth=1)
    axes.scatter(
        [row["confidence"] for row in bins],
        [row["accuracy"] for row in bins],
        s=[12 + 120 * row["n"] / largest for row in bins],
        color="#4c72b0",
    )
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy")
    axes.set_title(f"ECE {100 * result['ece']:.1f}%; size = images", fontsize=9)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
