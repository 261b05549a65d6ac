"""Review of a generated set by hand: pages of images, and which of them are used.

Nothing is kept here: the manifest says which images there are and which of them are used. It is
read for every page, and changed under its lock, one image at a time.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from tgn.app.real_images import ComparedImage, RealImages
from tgn.data.manifest import ManifestRow, active_rows, all_rows, image_set, write_filtered
from tgn.data.shards import member_exists
from tgn.data.split import Split
from tgn.runtime.errors import UserError
from tgn.runtime.locks import exclusive_writer
from tgn.scoring.filter_outcome import delete_filter

PAGE = 12  # images


class ShownImage(NamedTuple):
    """An image of a page, as it was when the page was made.

    Attributes:
        row: of the manifest.
        is_used: whether it was used.
        image: its pixels, and real ones to compare with.
    """

    row: ManifestRow
    is_used: bool
    image: ComparedImage


class ReviewPage(NamedTuple):
    """What the disk holds at the moment.

    Attributes:
        shown: images of one class.
        number: of the page, from 1.
        pages: number of pages of that class.
        used: images of all classes that are used.
        total: images of all classes.
        unreadable: images of this page that cannot be shown, and why.
    """

    shown: list[ShownImage]
    number: int
    pages: int
    used: int
    total: int
    unreadable: list[str]


class Choice(NamedTuple):
    """A click on an image: which it was, and whether it is to be used from now on.

    Attributes:
        file: as in the manifest.
        sha256: of the image that was shown.
        use: what the user wants: the opposite of what was shown.
    """

    file: str
    sha256: str
    use: bool


@dataclass(frozen=True)
class Review:
    """A generated folder: images and manifest, or class folders.

    Attributes:
        folder: the folder.
        split: the run's split.
        real_images: of the run, to compare with.
    """

    folder: Path
    split: Split
    real_images: RealImages

    def folders(self) -> list[str]:
        """Return the class folders that have images, in the split's order.

        Raises:
            NotFoundError: if there are no images.
        """
        present = {row.folder for row in all_rows(self.folder, self.split)}
        return [entry.folder for entry in self.split.classes if entry.folder in present]

    def page(self, folder: str, number: int) -> ReviewPage:
        """Return page ``number`` (from 1) of a class as the disk has it now, or the last one."""
        rows, used = self._rows()
        of_class = [row for row in rows if row.folder == folder]
        pages = -(-len(of_class) // PAGE)
        number = max(min(number, pages), 1)
        shown, unreadable = self._shown(of_class[(number - 1) * PAGE : number * PAGE], used)
        return ReviewPage(shown, number, pages, len(used), len(rows), unreadable)

    def choose(self, choice: Choice) -> str:
        """Use an image from now on, or no longer; nothing is deleted.

        Returns:
            What else happened to it meanwhile, in words; "" for nothing.

        Raises:
            UserError: if none would be left, or another process writes there at the moment.
        """
        with exclusive_writer(self.folder):
            rows, used = self._rows()
            row = next((row for row in rows if row.file == choice.file), None)
            if row is None:
                return f"{choice.file} is no longer there"
            if row.sha256 != choice.sha256:
                return f"{choice.file} is another image by now: nothing was changed"
            if (row.file in used) == choice.use:
                return f"{choice.file} was {'kept' if choice.use else 'dropped'} elsewhere already"
            self._write(rows, used ^ {row.file})
            return ""

    def _rows(self) -> tuple[list[ManifestRow], set[str]]:
        """Return all rows and the files in use."""
        rows = list(all_rows(self.folder, self.split))
        used = {row.file for row in active_rows(self.folder, self.split)}
        return rows, used & {row.file for row in rows}

    def _write(self, rows: list[ManifestRow], used: set[str]) -> None:
        kept = [row for row in rows if row.file in used]
        if not kept:
            raise UserError("no image would be left; keep one, or generate others")
        if len(kept) < len(rows):
            write_filtered(self.folder, kept)
        else:
            delete_filter(self.folder)

    def _shown(self, rows: list[ManifestRow], used: set[str]) -> tuple[list[ShownImage], list[str]]:
        """Return the images of some rows, and why others cannot be shown."""
        size, bands = self.real_images.images.size, self.real_images.images.bands
        known, images_u8, unreadable = [], [], []
        for row in rows:
            try:
                image = image_set(self.folder, [row], self.split, size, bands)
                images_u8.append(image.batch(torch.tensor([0])))
                known.append(row)
            except (UserError, OSError):
                is_there = member_exists(self.folder / row.file)
                unreadable.append(f"{row.file} is {'damaged' if is_there else 'gone'}")
        if not known:
            return [], unreadable
        sources = [row.source_file for row in known]
        compared = self.real_images.compare(torch.cat(images_u8), sources)
        pairs = zip(known, compared, strict=True)
        return [ShownImage(row, row.file in used, image) for row, image in pairs], unreadable
