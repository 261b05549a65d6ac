"""Pairs of camera (EO) and radar (SAR) images: from tables of ids and classes to two trees.

The published material of Yang and Xu 2021 has a table for each sensor and part, such as
``kd_train_EO.csv`` with the columns ``img_name`` and ``class_id``. Their code pairs row with row;
here images are paired by id, and a table in another order or with gaps cannot mix up scenes.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tgn.data.completion_record import PAIRS, begin_writing, finish_writing
from tgn.data.image_files import images_below
from tgn.data.shards import read_file
from tgn.data.split import Part
from tgn.data.splits.layout import require_folder_name
from tgn.data.splits.part_names import PART_NAMES, part_called
from tgn.data.tables import table_rows
from tgn.runtime.errors import DataError, ListedProblemsError
from tgn.runtime.files import write_bytes
from tgn.runtime.progress import Progress

SENSORS = ("eo", "sar")
COLUMNS = ("img_name", "class_id")
_WORDS = re.compile(r"[^a-z0-9]+")
_SENSOR_FIRST = re.compile(r"^(?:eo|sar)[_-]", re.IGNORECASE)
_SENSOR_LAST = re.compile(r"[_-](?:eo|sar)$", re.IGNORECASE)


class Listed(NamedTuple):
    """An image in a table."""

    where: str  # table and line, for messages
    part: Part
    folder: str  # of its class
    file: Path


@dataclass(frozen=True)
class SensorPairs:
    """The images of both sensors by id, the same ids for each."""

    images: Mapping[str, Mapping[str, Listed]]  # sensor -> id -> image

    @property
    def counts(self) -> dict[Part, int]:
        """Pairs of each part."""
        parts = [one.part for one in self.images[SENSORS[0]].values()]
        return {part: parts.count(part) for part in PART_NAMES if part in parts}


def id_of(stem: str) -> str:
    """Return the id in a file's name: ``EO_100578`` and ``100578_sar`` are 100578."""
    return _SENSOR_LAST.sub("", _SENSOR_FIRST.sub("", stem))


def read_pairs(data: Path) -> SensorPairs:
    """Read the tables in a folder and find their images below it.

    The words of a table's name say its sensor (``EO`` or ``SAR``) and its part (``train``, ``val``,
    ``test`` and their usual variants; training without one).

    Raises:
        DataError: if a sensor has no table, or a table cannot be read.
        ListedProblemsError: for a missing image, an id that is listed twice or for one sensor only,
            two classes or parts of one id; names each with its table and line.
    """
    tables = {sensor: _tables(data, sensor) for sensor in SENSORS}
    if missing := [sensor for sensor, found in tables.items() if not found]:
        raise DataError(
            f"{data} has no table of {missing[0].upper()} images; expected e.g. train_EO.csv and "
            f"train_SAR.csv with the columns {', '.join(COLUMNS)}"
        )
    by_name: dict[str, list[Path]] = {}
    for file in images_below(data).images:
        by_name.setdefault(file.name, []).append(file)
    problems: list[str] = []
    images = {
        sensor: _by_id(data, found, by_name, sensor, problems) for sensor, found in tables.items()
    }
    problems += _differences(images)
    if problems:
        raise ListedProblemsError(f"the tables in {data}", problems)
    return SensorPairs(images)


def write_pairs(pairs: SensorPairs, out: Path, progress: Progress) -> None:
    """Copy the images to ``OUT/{eo,sar}/<part>/<class>/<id>.png``.

    Args:
        pairs: of :func:`read_pairs`.
        out: a folder that is new, empty, or was begun with the same pairs.
        progress: counts images.

    Raises:
        UserError: if OUT holds anything else.
    """
    rows = (f"{key} {one.part} {one.folder}" for key, one in pairs.images[SENSORS[0]].items())
    made_with = {"pairs": hashlib.sha256("\n".join(sorted(rows)).encode()).hexdigest()}
    for sensor in SENSORS:
        begin_writing(out / sensor, PAIRS, made_with)
    progress.start("pairs", sum(map(len, pairs.images.values())))
    for sensor, found in pairs.images.items():
        for key, one in found.items():
            target = out / sensor / one.part / one.folder / f"{key}{one.file.suffix}"
            write_bytes(target, read_file(one.file))
            progress.advance()
        finish_writing(out / sensor, PAIRS, made_with)


def _tables(data: Path, sensor: str) -> list[Path]:
    return sorted(file for file in data.glob("*.csv") if sensor in _words(file.stem))


def _words(name: str) -> list[str]:
    return _WORDS.split(name.lower())


def _part(table: Path) -> Part:
    found = [part for word in _words(table.stem) if (part := part_called(word)) is not None]
    return found[0] if found else "train"


def _by_id(
    data: Path,
    tables: Iterable[Path],
    by_name: Mapping[str, list[Path]],
    sensor: str,
    problems: list[str],
) -> dict[str, Listed]:
    found: dict[str, Listed] = {}
    for table in tables:
        for line, row in table_rows(table, COLUMNS):
            where = f"{table.name} line {line}"
            name, folder = row["img_name"].replace("\\", "/"), row["class_id"]
            require_folder_name(folder, where)
            file = _image(name, by_name, sensor)
            if isinstance(file, str):
                problems.append(f"{where}: {file} below {data}")
                continue
            key = id_of(file.stem)
            if key in found:
                problems.append(f"{where}: {key} is in {found[key].where} too")
            found.setdefault(key, Listed(where, _part(table), folder, file))
    return found


def _image(name: str, by_name: Mapping[str, list[Path]], sensor: str) -> Path | str:
    """Return the image that a table names, or what is wrong with it."""
    files = by_name.get(name.rpartition("/")[2], [])
    if "/" in name:
        files = [file for file in files if file.as_posix().endswith(f"/{name}")]
    if len(files) > 1:  # equal names for both sensors, in a folder each
        files = [file for file in files if sensor in _words(file.parent.name)]
    if len(files) == 1:
        return files[0]
    return f"several images called {name}" if files else f"no image {name}"


def _differences(images: Mapping[str, Mapping[str, Listed]]) -> Iterator[str]:
    """Yield which ids differ between the sensors, and in what."""
    first, second = (images[sensor] for sensor in SENSORS)
    for has, lacks, sensor in ((first, second, SENSORS[1]), (second, first, SENSORS[0])):
        for key in sorted(has.keys() - lacks.keys()):
            yield f"{has[key].where}: {key} is in no table of {sensor.upper()}"
    for key in sorted(first.keys() & second.keys()):
        one, other = first[key], second[key]
        if (one.part, one.folder) != (other.part, other.folder):
            yield (
                f"{one.where}: {key} is {one.folder} ({one.part}), but {other.folder} "
                f"({other.part}) in {other.where}"
            )
