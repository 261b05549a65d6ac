"""Charts of the report, as PNG bytes."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from tgn.data.split import Split
from tgn.runtime.shown_text import for_chart

HEAD_COLOUR, TAIL_COLOUR, GENERATED_COLOUR = "#4c72b0", "#dd8452", "#f3c9a5"
RECIPE_COLOURS = ("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3")
PANELS_PER_ROW = 3


def class_histogram(split: Split, generated: Mapping[str, int]) -> bytes:
    """Return bars of the real training images of each class, with generated ones stacked on."""
    real = [entry.train + entry.val for entry in split.classes]
    new = [generated.get(entry.folder, 0) for entry in split.classes]
    places = range(len(real))
    colours = [HEAD_COLOUR] * split.num_head + [TAIL_COLOUR] * len(split.tail_classes)
    figure = Figure(figsize=(7.5, 1.1 + 0.27 * len(real)), layout="constrained")
    axes = figure.subplots()
    axes.barh(places, real, color=colours, label="real (blue: head, orange: tail)")
    axes.barh(places, new, left=real, color=GENERATED_COLOUR, hatch="//", label="generated")
    axes.set_yticks(places, [for_chart(name) for name in split.names], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("training images")
    axes.legend(fontsize=8, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)
    axes.spines[["top", "right"]].set_visible(False)
    return _png(figure)


def class_accuracies(by_recipe: Mapping[str, Sequence[Mapping[str, Any]]]) -> bytes:
    """Return points of each class's accuracy, a colour per recipe; hollow without generated images.

    Args:
        by_recipe: recipe to its classes in order, each with ``name``, ``train`` and ``accuracy``.
    """
    classes = next(iter(by_recipe.values()))
    figure = Figure(figsize=(7.5, 1.4 + 0.27 * len(classes)), layout="constrained")
    axes = figure.subplots()
    bases = list(dict.fromkeys(_base(name) for name in by_recipe))
    for name, row in by_recipe.items():
        points = [
            (100 * entry["accuracy"], place)
            for place, entry in enumerate(row)
            if entry["accuracy"] is not None
        ]
        base = _base(name)
        colour = RECIPE_COLOURS[bases.index(base) % len(RECIPE_COLOURS)]
        axes.plot(
            *zip(*points, strict=True),
            "o",
            color=colour,
            markerfacecolor=colour if name != base else "none",
            markersize=5,
            label=for_chart(name),
        )
    names = [f"{for_chart(entry['name'])} ({entry['train']})" for entry in classes]
    axes.set_yticks(range(len(classes)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("accuracy on real test images, %")
    axes.grid(axis="y", linewidth=0.3)
    axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    axes.spines[["top", "right"]].set_visible(False)
    return _png(figure)


def _base(recipe: str) -> str:
    """Return a recipe's name without generated images, whatever their use and number."""
    return recipe.partition("+generated")[0]


def training_curves(rows: Sequence[Mapping[str, float]]) -> bytes | None:
    """Return one panel per logged term over the steps; None if nothing was logged."""
    names = [name for name in dict.fromkeys(key for row in rows for key in row) if name != "step"]
    if not names:
        return None
    lines = math.ceil(len(names) / PANELS_PER_ROW)
    figure = Figure(figsize=(8.5, 1.7 * lines), layout="constrained")
    panels = figure.subplots(lines, PANELS_PER_ROW, squeeze=False).flatten()
    for axes, name in zip(panels, names, strict=False):
        points = [(row["step"], row[name]) for row in rows if name in row]
        axes.plot(*zip(*points, strict=True), linewidth=1.2, color=HEAD_COLOUR)
        axes.set_title(for_chart(name), fontsize=8)
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    return _png(figure)


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120)
    return stream.getvalue()
