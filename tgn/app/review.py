"""Looking through a generated set by hand: pages of it, and which images still count."""

from collections.abc import Collection
from pathlib import Path

import torch

from tgn.app.lookalikes import Lookalikes, Trio
from tgn.data.manifest import ManifestRow, all_rows, image_set, rows_in_use, write_filtered
from tgn.data.split import Split
from tgn.runtime.errors import UserError
from tgn.scoring.filter import forget_filter

PAGE = 12  # images


class Review:
    """A generated folder and the part of it that counts.

    Args:
        folder: images and manifest, or class folders.
        split: the run's split.
        lookalikes: real images to put beside.

    Raises:
        NotFoundError: if there are no images.
    """

    def __init__(self, folder: Path, split: Split, lookalikes: Lookalikes) -> None:
        self.folder, self.split, self.lookalikes = folder, split, lookalikes
        self.rows = list(all_rows(folder, split))

    def folders(self) -> list[str]:
        """Return the class folders that have images, in the split's order."""
        there = {row.folder for row in self.rows}
        return [entry.folder for entry in self.split.classes if entry.folder in there]

    def pages(self, folder: str) -> int:
        """Return how many pages a class fills."""
        return -(-sum(row.folder == folder for row in self.rows) // PAGE)

    def page(self, folder: str, number: int) -> list[tuple[ManifestRow, Trio]]:
        """Return the images of page ``number`` (from 1) of a class."""
        rows = [row for row in self.rows if row.folder == folder]
        rows = rows[(number - 1) * PAGE : number * PAGE]
        if not rows:
            return []
        size, bands = self.lookalikes.images.size, self.lookalikes.images.bands
        images_u8 = image_set(self.folder, rows, self.split, size, bands).batch(
            torch.arange(len(rows))
        )
        trios = self.lookalikes.beside(images_u8, [row.source_file for row in rows])
        return list(zip(rows, trios, strict=True))

    def dropped(self) -> set[str]:
        """Return the files that do not count, by ``tgn filter`` or by hand."""
        used = {row.file for row in rows_in_use(self.folder, self.split)}
        return {row.file for row in self.rows} - used

    def set_dropped(self, files: Collection[str]) -> int:
        """Write the filtered manifest without ``files``, or none without any to drop.

        Returns:
            How many images count.

        Raises:
            UserError: if none would be left.
        """
        kept = [row for row in self.rows if row.file not in files]
        if not kept:
            raise UserError("no image would be left; keep some, or draw better ones")
        if files:
            write_filtered(self.folder, kept)
        else:
            forget_filter(self.folder)
        return len(kept)
