"""A comparison as means with confidence intervals, CSV, Markdown and a figure."""

import csv
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from tgn.runtime.files import atomic_path
from tgn.runtime.markdown import markdown_table
from tgn.runtime.shown_text import for_chart


def interval(values: Sequence[float]) -> dict[str, Any]:
    """Return mean and half-width of the 95% t-interval of the mean.

    Returns:
        ``mean``, ``half_width`` (None for a single value) and the ``values`` themselves.
    """
    mean, n = float(np.mean(values)), len(values)
    if n < 2:
        return {"mean": mean, "half_width": None, "values": list(values)}
    error = float(np.std(values, ddof=1)) / math.sqrt(n)
    half_width = float(stats.t.ppf(0.975, n - 1)) * error
    return {"mean": mean, "half_width": half_width, "values": list(values)}


def format_interval(entry: dict[str, Any]) -> str:
    """Return "mean ± half-width" in percent."""
    half = entry["half_width"]
    return f"{100 * entry['mean']:.1f}" + ("" if half is None else f" ± {100 * half:.1f}")


def summary_rows(table: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (title, metrics) of the recipes, then of their gains by generated images."""
    yield from table["recipes"].items()
    for name, row in table["gains"].items():
        yield f"gain over {name}", row


def difference_rows(table: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (title, metrics) of every recipe's difference to the first, paired by seed."""
    first = next(iter(table["recipes"]))
    for name, row in table.get("against_first", {}).items():
        yield f"{name} minus {first}", row


def as_cells(table: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the recipes and gains: percent, time and memory of a training."""
    metrics = list(next(iter(table["recipes"].values())))
    header = ["recipe", *(metric.replace("_", " ") for metric in metrics), "time", "memory"]
    costs = table.get("costs", {})
    return header, [
        [name, *(format_interval(row[metric]) for metric in metrics), *_format_cost(costs, name)]
        for name, row in summary_rows(table)
    ]


def as_markdown(table: dict[str, Any]) -> str:
    """Return the verdict and the table as Markdown, the differences to the first recipe below."""
    header, cells = as_cells(table)
    metrics = list(next(iter(table["recipes"].values())))
    differences = [
        [name, *(format_interval(row[metric]) for metric in metrics), "", ""]
        for name, row in difference_rows(table)
    ]
    opening = f"{found['sentence']}\n\n" if (found := table.get("verdict")) else ""
    return opening + markdown_table(header, [*cells, *differences]) + "\n"


def _format_cost(costs: dict[str, Any], name: str) -> tuple[str, str]:
    cost = costs.get(name)
    if cost is None:
        return "", ""
    seconds, peak = cost["seconds"], cost["peak_mib"]
    time = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
    return time, "" if peak is None else f"{peak / 1024:.1f} GiB"


def as_csv(table: dict[str, Any]) -> str:
    """Return CSV: a line a recipe, metric and seed, and one for each mean; values in [0, 1]."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("recipe", "measure", "seed", "value", "half_width"))
    for name, row in summary_rows(table):
        for metric, entry in row.items():
            for seed, value in enumerate(entry["values"], table["first_seed"]):
                writer.writerow((name, metric, seed, value, ""))
            half = "" if entry["half_width"] is None else entry["half_width"]
            writer.writerow((name, metric, "mean", entry["mean"], half))
    return text.getvalue()


def draw_comparison(table: dict[str, Any], path: Path) -> None:
    """Write a PNG of the tail and head accuracy of every recipe with their intervals."""
    recipes = table["recipes"]
    figure = Figure(figsize=(7, 1.2 + 0.45 * len(recipes)), layout="constrained")
    axes = figure.subplots()
    for offset, metric, colour in ((-0.15, "tail", "#dd8452"), (0.15, "head", "#4c72b0")):
        if not all(metric in row for row in recipes.values()):  # no class of it has test images
            continue
        entries = [row[metric] for row in recipes.values()]
        axes.errorbar(
            [100 * entry["mean"] for entry in entries],
            [place + offset for place in range(len(entries))],
            xerr=[100 * (entry["half_width"] or 0) for entry in entries],
            fmt="o",
            color=colour,
            capsize=3,
            label=f"{metric} classes",
        )
    axes.set_yticks(range(len(recipes)), [for_chart(name, 80) for name in recipes])
    axes.invert_yaxis()
    axes.set_xlabel("accuracy on real test images, %")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)
    axes.spines[["top", "right"]].set_visible(False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
