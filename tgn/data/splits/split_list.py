"""``split.csv``: a split as a portable list of files with hashes, for others to take and to cite.

Comment lines first (``# num_head: 12`` is required, all are kept), then a line of column names,
then a line an image: part, class folder, path relative to the data folder, SHA-256. The last
column's name says what is hashed: ``sha256`` the file's bytes, ``pixels_sha256`` the decoded pixels
(:func:`tgn.data.images.pixels_sha256`). Classes stand in the order of their first line.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from tgn.data.shards import portable_name
from tgn.data.split import Part, Split
from tgn.data.splits.layout import require_folder_name
from tgn.runtime.errors import DataError, NotFoundError
from tgn.runtime.files import write_text
from tgn.runtime.names import leads_outside
from tgn.runtime.regular_files import read_regular

HashColumn = Literal["sha256", "pixels_sha256"]
HASH_COLUMNS: tuple[HashColumn, ...] = get_args(HashColumn)
PARTS: tuple[Part, ...] = get_args(Part)
TITLE = "tgn split list 1: part, class folder, file relative to the data folder, hash"
_COLUMNS = ("part", "class", "file")
_NUM_HEAD = re.compile(r"#\s*num_head:\s*(\d+)\s*$")
_DIGEST = re.compile(r"[0-9a-f]{64}$")


class ListRow(NamedTuple):
    """One image of a list."""

    part: Part
    folder: str  # of its class
    file: str  # relative to the data folder, "/" between its parts
    digest: str  # 64 hexadecimal digits


@dataclass(frozen=True)
class SplitList:
    """The content of ``split.csv``.

    Attributes:
        comments: lines that begin with "#", as they are.
        num_head: the first so many classes are head.
        hash_column: what the hashes are of.
        rows: the images; sorted by part, class and file when they are written.
    """

    comments: tuple[str, ...]
    num_head: int
    hash_column: HashColumn
    rows: tuple[ListRow, ...]

    @property
    def classes(self) -> list[str]:
        """Class folders in class order: that of their first rows."""
        return list(dict.fromkeys(row.folder for row in self.rows))

    def text(self) -> str:
        """Return the file's content; equal lists have equal bytes."""
        place = {folder: label for label, folder in enumerate(self.classes)}
        rows = sorted(self.rows, key=lambda r: (PARTS.index(r.part), place[r.folder], r.file))
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerows([(*_COLUMNS, self.hash_column), *rows])
        return "".join(f"{line}\n" for line in self.comments) + stream.getvalue()


def list_of_split(
    split: Split, digests: Mapping[str, str], hash_column: HashColumn, facts: Mapping[str, object]
) -> SplitList:
    """Return the list of a split.

    Args:
        split: the split.
        digests: file, as the split names it -> hexadecimal SHA-256.
        hash_column: what the digests are of.
        facts: further comment lines "key: value": name, data, settings.
    """
    lines = {**facts, "num_head": split.num_head}
    names = _names_in_list([file for part in PARTS for file, _ in getattr(split, part)])
    rows = tuple(
        ListRow(part, split.classes[label].folder, names[file], digests[file])
        for part in PARTS
        for file, label in getattr(split, part)
    )
    comments = (f"# {TITLE}", *(_comment(key, value) for key, value in lines.items()))
    return SplitList(comments, split.num_head, hash_column, rows)


def _comment(key: str, value: object) -> str:
    return f"# {key}: {' '.join(str(value).split())}"


def _names_in_list(files: list[str]) -> dict[str, str]:
    """Return file -> name without its place in a shard, unless two images would share a name."""
    names = {file: portable_name(file) for file in files}
    return names if len(set(names.values())) == len(names) else {file: file for file in files}


def write_split_list(path: Path, listed: SplitList) -> None:
    """Write ``split.csv``."""
    write_text(path, listed.text())


def read_split_list(path: Path) -> SplitList:
    """Read a list, of ``tgn split`` or made by hand.

    Raises:
        NotFoundError: if there is no such file.
        DataError: naming the line that is wrong, and what was expected.
    """
    if not path.is_file():
        raise NotFoundError(
            f"no split list {path}; tgn split writes one: checkpoints/RUN/split.csv"
        )
    try:
        text = read_regular(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path} is no split list: it is not UTF-8 text") from None
    lines = list(io.StringIO(text, newline=""))
    count = next((n for n, line in enumerate(lines) if not line.startswith("#")), len(lines))
    comments = tuple(line.rstrip("\r\n") for line in lines[:count])
    reader = csv.reader(lines[count:], strict=True)
    try:
        hash_column = _hash_column(path, next(reader, []))
        rows = [_row(f"{path} line {count + reader.line_num}", cells) for cells in reader if cells]
    except csv.Error as error:
        raise DataError(f"{path} line {count + reader.line_num}: {error}") from None
    listed = SplitList(comments, _num_head(path, comments), hash_column, tuple(rows))
    _check(path, listed)
    return listed


def _hash_column(path: Path, cells: list[str]) -> HashColumn:
    for name in HASH_COLUMNS:
        if cells == [*_COLUMNS, name]:
            return name
    raise DataError(
        f"{path} is no split list: got {','.join(cells)[:80]!r} after the comment lines, expected "
        f"{','.join(_COLUMNS)},{' or '.join(HASH_COLUMNS)}"
    )


def _num_head(path: Path, comments: Iterable[str]) -> int:
    for line in comments:
        if found := _NUM_HEAD.match(line):
            return int(found[1])
    raise DataError(f"{path} has no line '# num_head: N'; add how many of the classes are head")


def _row(where: str, cells: list[str]) -> ListRow:
    if len(cells) != 4:
        raise DataError(f"{where}: got {len(cells)} columns, expected part,class,file,hash")
    part, folder, file, digest = cells
    known = next((name for name in PARTS if name == part), None)
    if known is None:
        raise DataError(f"{where}: got part {part!r}, expected {', '.join(PARTS)}")
    require_folder_name(folder, where)
    if leads_outside(file) or "\\" in file:
        raise DataError(f"{where}: {file!r} is no path inside the data folder, '/' between parts")
    if not _DIGEST.match(digest.lower()):
        raise DataError(f"{where}: got hash {digest[:70]!r}, expected 64 hexadecimal digits")
    return ListRow(known, folder, file, digest.lower())


def _check(path: Path, listed: SplitList) -> None:
    times = Counter(row.file for row in listed.rows)
    if repeated := [file for file, count in times.items() if count > 1]:
        raise DataError(
            f"{path} lists {repeated[0]!r} more than once; an image is in one part only"
        )
    classes, trained = listed.classes, {row.folder for row in listed.rows if row.part == "train"}
    if untrained := [folder for folder in classes if folder not in trained]:
        raise DataError(f"{path}: class {untrained[0]!r} has no row of part train; add one")
    if not 1 <= listed.num_head < len(classes):
        raise DataError(
            f"{path}: num_head is {listed.num_head} with {len(classes)} classes; expected at least "
            "one head class and one tail class"
        )
    if not any(row.part == "test" for row in listed.rows):
        raise DataError(f"{path} has no row of part test; a split needs test images")
