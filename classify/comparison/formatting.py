"""A comparison as numbers with intervals, CSV, Markdown and a picture."""

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


def interval(values: Sequence[float]) -> dict[str, Any]:
    """Return mean and half-width of the 95% t-interval; the half-width of one value is null."""
    mean, n = float(np.mean(values)), len(values)
    if n < 2:
        return {"mean": mean, "half_width": None, "values": list(values)}
    error = float(np.std(values, ddof=1)) / math.sqrt(n)
    half_width = float(stats.t.ppf(0.975, n - 1)) * error
    return {"mean": mean, "half_width": half_width, "values": list(values)}


def shown(entry: dict[str, Any]) -> str:
    """Return "mean ± half-width" in percent."""
    half = entry["half_width"]
    return f"{100 * entry['mean']:.1f}" + ("" if half is None else f" ± {100 * half:.1f}")


def rows_of(table: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (title, measures) of the recipes, then of what generated images add to them."""
    yield from table["recipes"].items()
    for name, row in table["gains"].items():
        yield f"gain over {name}", row


def differences_of(table: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (title, measures) of every recipe's difference to the first, paired by seed."""
    first = next(iter(table["recipes"]))
    for name, row in table.get("against_first", {}).items():
        yield f"{name} minus {first}", row


def as_markdown(table: dict[str, Any]) -> str:
    """Return the table for a README, in percent."""
    measures = list(next(iter(table["recipes"].values())))
    lines = ["| recipe | " + " | ".join(m.replace("_", " ") for m in measures) + " |"]
    lines.append("|---" * (len(measures) + 1) + "|")
    rows = [*rows_of(table), *differences_of(table)]
    for name, row in rows:
        lines.append(f"| {name} | " + " | ".join(shown(row[m]) for m in measures) + " |")
    return "\n".join(lines) + "\n"


def as_csv(table: dict[str, Any]) -> str:
    """Return one line a recipe, measure and seed, and one for each mean; shares in [0, 1]."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("recipe", "measure", "seed", "value", "half_width"))
    for name, row in rows_of(table):
        for measure, entry in row.items():
            for place, value in enumerate(entry["values"]):
                writer.writerow((name, measure, place, value, ""))
            half = "" if entry["half_width"] is None else entry["half_width"]
            writer.writerow((name, measure, "mean", entry["mean"], half))
    return text.getvalue()


def draw_comparison(table: dict[str, Any], path: Path) -> None:
    """Draw tail and head accuracy of every recipe with their intervals."""
    recipes = table["recipes"]
    figure = Figure(figsize=(7, 1.2 + 0.45 * len(recipes)), layout="constrained")
    axes = figure.subplots()
    for offset, measure, colour in ((-0.15, "tail", "#dd8452"), (0.15, "head", "#4c72b0")):
        entries = [row[measure] for row in recipes.values()]
        axes.errorbar(
            [100 * entry["mean"] for entry in entries],
            [place + offset for place in range(len(entries))],
            xerr=[100 * (entry["half_width"] or 0) for entry in entries],
            fmt="o",
            color=colour,
            capsize=3,
            label=f"{measure} classes",
        )
    axes.set_yticks(range(len(recipes)), list(recipes))
    axes.invert_yaxis()
    axes.set_xlabel("accuracy on real test images, %")
    axes.legend(fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
