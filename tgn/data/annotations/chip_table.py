"""The table beside chips: from which place of which image each was cut, to put it back there."""

import csv
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tgn.data.annotations.types import Polygon
from tgn.data.tables import table_rows
from tgn.runtime.errors import DataError
from tgn.runtime.files import atomic_path

CHIP_TABLE = "chips.csv"
CORNERS = tuple(f"{axis}{corner}" for corner in (1, 2, 3, 4) for axis in "xy")
COLUMNS = ("file", "class", "image", *CORNERS, "left", "top", "side")


@dataclass(frozen=True)
class Chip:
    """One object and the square that was cut round it; pixels of the image."""

    file: str  # of the chip, below the folder of the table, with "/"
    class_name: str
    image: Path  # of which it was cut
    corners: Polygon  # four, of the object as labelled, or round its outline
    left: int  # of the square; beyond the image's border it is reflected
    top: int
    side: int

    @property
    def corners_in_chip(self) -> Polygon:
        """The object's corners in shares of the chip's side."""
        return tuple(
            ((x - self.left) / self.side, (y - self.top) / self.side) for x, y in self.corners
        )


def write_chip_table(folder: Path, chips: Iterable[Chip]) -> None:
    """Write ``chips.csv`` into the folder; paths of images are relative to it."""
    with (
        atomic_path(folder / CHIP_TABLE) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for chip in chips:
            image = Path(os.path.relpath(chip.image, folder)).as_posix()
            places = (f"{value:.10g}" for corner in chip.corners for value in corner)
            square = chip.left, chip.top, chip.side
            writer.writerow((chip.file, chip.class_name, image, *places, *square))


def read_chip_tables(root: Path) -> dict[str, Chip]:
    """Return the chips of a folder that ``tgn chips`` wrote, by file below it; {} without table.

    Args:
        root: OUT of ``tgn chips``; with ``--part``, each part has a table of its own.

    Raises:
        DataError: naming the table and line that cannot be read.
    """
    tables = [root / CHIP_TABLE, *sorted(root.glob(f"*/{CHIP_TABLE}"))]
    found = {}
    for table in tables:
        if table.is_file():
            for chip in _rows(table):
                found[(table.parent / chip.file).relative_to(root).as_posix()] = chip
    return found


def _rows(table: Path) -> Iterator[Chip]:
    for line, row in table_rows(table, COLUMNS):
        try:
            values = [float(row[column]) for column in CORNERS]
            left, top, side = (int(row[column]) for column in ("left", "top", "side"))
        except ValueError:
            raise DataError(f"{table}, line {line}: expected numbers") from None
        if side < 1:
            raise DataError(f"{table}, line {line}: side {side}, expected 1 or more pixels")
        corners = tuple(zip(values[::2], values[1::2], strict=True))
        image = table.parent / row["image"]
        yield Chip(row["file"], row["class"], image, corners, left, top, side)
