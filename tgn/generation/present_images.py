"""Which images of a manifest are on the disk, and whole."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from itertools import islice
from pathlib import Path

from tgn.data.manifest import ManifestRow
from tgn.data.shards import member_exists, member_sha256

HASH_THREADS = 4
ROWS_AT_ONCE = 1024
SHOWN = 3  # files that a message names


class State(Enum):
    """Of a listed image."""

    WHOLE = "whole"
    CHANGED = "changed"  # another content than was written
    GONE = "gone"


@dataclass
class PresentImages:
    """The listed images, by class folder and number.

    Attributes:
        whole: class folder -> a byte an image, 1 if it is there as it was written.
        lost: class folder and number -> file and state of the listed images that are not.
    """

    whole: dict[str, bytearray] = field(default_factory=dict)
    lost: dict[tuple[str, int], tuple[str, State]] = field(default_factory=dict)

    def add(self, row: ManifestRow, state: State) -> None:
        """Note a row; of two of one image the later is right."""
        self.lost.pop((row.folder, row.index), None)
        if state is not State.WHOLE:
            self.lost[row.folder, row.index] = row.file, state
            return
        whole = self.whole.setdefault(row.folder, bytearray())
        whole.extend(bytes(max(row.index + 1 - len(whole), 0)))
        whole[row.index] = 1

    def absent(self, folder: str, count: int, repair: bool) -> list[int]:
        """Return which of images 0 to ``count`` - 1 of a class are to be drawn."""
        whole = self.whole.get(folder, bytearray()).ljust(count, b"\0")
        changed = set() if repair else self._changed(folder)
        return [index for index in range(count) if not whole[index] and index not in changed]

    def drawn(self, folder: str, indices: Iterable[int]) -> None:
        """Note that images were drawn."""
        for index in indices:
            self.lost.pop((folder, index), None)

    def count(self, folder: str, count: int) -> int:
        """Return how many of images 0 to ``count`` - 1 are whole, when the absent are drawn."""
        return count - sum(index < count for index in self._changed(folder))

    def warnings(self, folder: Path) -> Iterator[str]:
        """Say of which listed images the files are changed or gone."""
        changed = [file for file, state in self.lost.values() if state is State.CHANGED]
        if changed:
            yield (
                f"{len(changed)} images in {folder} are not what was written ({_shown(changed)}); "
                "draw them anew with: tgn generate --repair"
            )
        gone = [file for file, state in self.lost.values() if state is State.GONE]
        if gone:
            yield (
                f"{len(gone)} images that {folder} lists are gone ({_shown(gone)}); they are "
                "listed no more, tgn generate of their classes draws them again"
            )

    def _changed(self, folder: str) -> set[int]:
        return {
            index
            for (of, index), (_, state) in self.lost.items()
            if of == folder and state is State.CHANGED
        }


def present_images(folder: Path, rows: Iterable[ManifestRow]) -> PresentImages:
    """Compare the rows of a manifest with the files beside it; each file is hashed.

    Args:
        folder: of the manifest.
        rows: of the manifest.
    """
    found = PresentImages()
    with ThreadPoolExecutor(HASH_THREADS) as pool:
        for some in _in_groups(rows):
            for row, state in zip(some, pool.map(partial(_state, folder), some), strict=True):
                found.add(row, state)
    return found


def _in_groups(rows: Iterable[ManifestRow]) -> Iterator[list[ManifestRow]]:
    remaining = iter(rows)
    while some := list(islice(remaining, ROWS_AT_ONCE)):
        yield some


def _state(folder: Path, row: ManifestRow) -> State:
    file = folder / row.file
    if not member_exists(file):
        return State.GONE
    same = not row.sha256 or member_sha256(file) == row.sha256
    return State.WHOLE if same else State.CHANGED


def _shown(files: Sequence[str]) -> str:
    return ", ".join(files[:SHOWN]) + (", ..." if len(files) > SHOWN else "")
