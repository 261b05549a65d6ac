"""The class histogram, as a picture and as lines of text."""

from pathlib import Path

from tgn.data.split import Split
from tgn.runtime.files import atomic_path
from tgn.runtime.shown_text import for_chart

HEAD_COLOUR, TAIL_COLOUR = "#4c72b0", "#dd8452"
BAR = 40  # characters of the longest bar


def draw_histogram(split: Split, path: Path) -> None:
    """Write training images a class as a PNG, head and tail in their colours."""
    from matplotlib.figure import Figure  # not above: tgn --help would wait a second for it

    counts = [entry.train + entry.val for entry in split.classes]
    colours = [HEAD_COLOUR] * split.num_head + [TAIL_COLOUR] * len(split.tail_classes)
    figure = Figure(figsize=(7, 0.9 + 0.24 * len(counts)), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(range(len(counts)), counts, color=colours)
    axes.bar_label(bars, fontsize=8, padding=2)
    axes.set_yticks(range(len(counts)), [for_chart(name) for name in split.names], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("training images")
    axes.set_title(f"{split.num_head} head and {len(split.tail_classes)} tail classes", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def histogram_rows(split: Split) -> list[str]:
    """Return one line a class: group, folder, a bar, and train + validation / test counts.

    A folder that is a number has its name beside it.
    """
    largest = max(entry.train + entry.val for entry in split.classes)
    shown = [
        f"{entry.folder} {entry.name}"
        if entry.folder.isdecimal() and entry.name != entry.folder
        else entry.folder
        for entry in split.classes
    ]
    width = max(map(len, shown))
    rows = []
    for label, entry in enumerate(split.classes):
        group = "head" if label < split.num_head else "tail"
        bar = "#" * max(1, round(BAR * (entry.train + entry.val) / largest))
        counts = f"{entry.train}+{entry.val} train+val, {entry.test} test"
        rows.append(f"{group}  {shown[label]:<{width}}  {bar:<{BAR}}  {counts}")
    return rows
