"""Tables as spreadsheets write them: CSV with commas, semicolons or tabs, with or without a BOM."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from tgn.runtime.errors import DataError, NotFoundError
from tgn.runtime.regular_files import read_regular

DELIMITERS = (",", ";", "\t")  # of columns


def table_rows(
    table: Path, columns: Sequence[str], hint: str = ""
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the lines of a table, with their numbers, as column -> text without outer spaces.

    Columns are separated by a comma, semicolon or tab, as the first line shows; their names are in
    any case. Empty lines are skipped.

    Args:
        table: UTF-8 text.
        columns: that it must have.
        hint: what to do about a line with too many columns.

    Raises:
        NotFoundError: if there is no table.
        DataError: for another encoding, a missing column, or more columns than the first line has.
    """
    if not table.is_file():
        raise NotFoundError(f"no table {table}; expected a CSV with columns {', '.join(columns)}")
    content = read_regular(table)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{table}, line {line}: not UTF-8; save the table as UTF-8") from None
    header = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    found = [name.strip().lower() for name in next(reader, [])]
    if missing := set(columns) - set(found):
        raise DataError(f"{table} lacks the column {sorted(missing)[0]!r}; needs {tuple(columns)}")
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(found):
            raise DataError(
                f"{table}, line {reader.line_num}: {len(cells)} columns, the first line has "
                f"{len(found)}{hint}"
            )
        cells += [""] * (len(found) - len(cells))
        yield reader.line_num, dict(zip(found, (cell.strip() for cell in cells), strict=True))
