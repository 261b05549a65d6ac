"""The table of what generated images of each class bring."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table


def use_table(use: Mapping[str, Any]) -> Table:
    """Return the table of a verdict, as its report has it."""
    by = f"gain by {use['statistic']}, hundredths"
    table = Table("class", "images", by, "95%", "accuracy, points", "95%", "advice")
    for row in use["classes"]:
        numbers = []
        for prefix in ("", "accuracy_"):
            low, high = (row[f"{prefix}{end}"] for end in ("low", "high"))
            ends = "-" if low is None else f"{low:+.1f} to {high:+.1f}"
            numbers += [f"{row[f'{prefix}gain']:+.1f}", ends]
        table.add_row(row["class"], str(row["images"]), *numbers, row["advice"])
    return table
