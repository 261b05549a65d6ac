"""Review of a generated set by hand: pages of images, and which of them are used."""

from collections.abc import Collection
from pathlib import Path

import torch

from tgn.app.real_images import ComparedImage, RealImages
from tgn.data.manifest import ManifestRow, active_rows, all_rows, image_set, write_filtered
from tgn.data.split import Split
from tgn.runtime.errors import UserError
from tgn.scoring.filter import remove_filter

PAGE = 12  # images


class Review:
    """A generated folder and the images of it that are used.

    Args:
        folder: images and manifest, or class folders.
        split: the run's split.
        real_images: of the run, to compare with.

    Raises:
        NotFoundError: if there are no images.
    """

    def __init__(self, folder: Path, split: Split, real_images: RealImages) -> None:
        self.folder, self.split, self.real_images = folder, split, real_images
        self.rows = list(all_rows(folder, split))

    def folders(self) -> list[str]:
        """Return the class folders that have images, in the split's order."""
        present = {row.folder for row in self.rows}
        return [entry.folder for entry in self.split.classes if entry.folder in present]

    def pages(self, folder: str) -> int:
        """Return the number of pages of a class."""
        return -(-sum(row.folder == folder for row in self.rows) // PAGE)

    def page(self, folder: str, number: int) -> list[tuple[ManifestRow, ComparedImage]]:
        """Return the images of page ``number`` (from 1) of a class."""
        rows = [row for row in self.rows if row.folder == folder]
        rows = rows[(number - 1) * PAGE : number * PAGE]
        if not rows:
            return []
        size, bands = self.real_images.images.size, self.real_images.images.bands
        images_u8 = image_set(self.folder, rows, self.split, size, bands).batch(
            torch.arange(len(rows))
        )
        compared = self.real_images.compare(images_u8, [row.source_file for row in rows])
        return list(zip(rows, compared, strict=True))

    def dropped(self) -> set[str]:
        """Return the files dropped by ``tgn filter`` or by hand."""
        used = {row.file for row in active_rows(self.folder, self.split)}
        return {row.file for row in self.rows} - used

    def set_dropped(self, files: Collection[str]) -> int:
        """Write the filtered manifest without ``files``; delete it where there are none to drop.

        Returns:
            How many images are used.

        Raises:
            UserError: if none would be left.
        """
        kept = [row for row in self.rows if row.file not in files]
        if not kept:
            raise UserError("no image would be left; keep one, or generate others")
        if files:
            write_filtered(self.folder, kept)
        else:
            remove_filter(self.folder)
        return len(kept)
