"""The logs of a training: metrics, TensorBoard, sample grids, alarms.

A training never needs them to go on: of a damaged one, what can be read is used.
"""

import json
import math
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tgn.runtime.files import write_text

METRICS, ALARMS, GRIDS, BOARD = "metrics.jsonl", "alarms.jsonl", "grids", "tensorboard"
LEFT_OUT = "{path} is damaged: {count} of its lines cannot be read and are left out"


class Log(NamedTuple):
    """What can be read of a log.

    Attributes:
        rows: each has its ``step``; of two alarms of one step and class, the last.
        damage: what was left out, in one line; "" for nothing.
        exists: whether there is such a log.
    """

    rows: list[dict[str, Any]]
    damage: str = ""
    exists: bool = True


def read_log(path: Path) -> Log:
    """Read ``metrics.jsonl`` or ``alarms.jsonl``; a last line cut short by a kill is left out."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return Log([], exists=False)
    except OSError as error:
        return Log([], f"{path} cannot be read: {error.strerror}")
    rows = [_row(line) for line in lines if line.endswith(b"\n")]
    known = {(row["step"], row.get("class"), *row): row for row in rows if row}
    count = rows.count(None)
    return Log([*known.values()], LEFT_OUT.format(path=path, count=count) if count else "")


def _row(line: bytes) -> dict[str, Any] | None:
    """Return the row of a line; None if it is none."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_row = isinstance(row, dict) and type(row.get("step")) is int
    return row if is_row and all(map(_is_plain, row.values())) else None


def _is_plain(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, int | float) and math.isfinite(value))


def as_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def keep_until(directory: Path, step: int) -> list[str]:
    """Delete from the logs what was logged after a step; at step 0 everything goes.

    Args:
        directory: of the training.
        step: finished steps that a training goes on from.

    Returns:
        What of the logs could not be read, a line each.
    """
    damage = []
    for path in (directory / METRICS, directory / ALARMS):
        if step and path.is_file():
            log = read_log(path)
            damage += [log.damage] if log.damage else []
            write_text(path, as_lines(row for row in log.rows if row["step"] <= step))
        else:
            path.unlink(missing_ok=True)
    for grid in directory.glob(f"{GRIDS}/*.png"):
        if not step or (grid.stem.isdecimal() and int(grid.stem) > step):
            grid.unlink()
    board = directory / BOARD
    if board.is_dir() and not step:
        shutil.rmtree(board)
    elif board.is_file():  # TensorBoard needs a folder
        board.unlink()
    return damage
