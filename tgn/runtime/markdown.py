"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]] = ()) -> str:
    """Return a table, one line a row, without a newline at the end.

    Args:
        header: titles of the columns.
        rows: the cells of each row, as many as the header has.
    """
    rule = "|---" * len(header) + "|"
    return "\n".join((markdown_row(header), rule, *(markdown_row(cells) for cells in rows)))


def markdown_row(cells: Sequence[str]) -> str:
    """Return one line of a table, for tables that are printed row by row."""
    return f"| {' | '.join(cells)} |"
