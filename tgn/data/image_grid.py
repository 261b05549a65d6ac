"""Grids of images with row and column labels."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from tgn.runtime.files import atomic_path
from tgn.runtime.shown_text import for_picture

CELL = 64  # small images are enlarged to about this many pixels
GAP = 2
BACKGROUND = (255, 255, 255)
INK = (30, 30, 30)


def save_grid(
    path: Path, rows: Sequence[Tensor], row_labels: Sequence[str], column_labels: Sequence[str]
) -> None:
    """Write a PNG with a row of pictures a label.

    Args:
        path: where to write, atomically.
        rows: images_u8 [K, bands, H, W] each, the same H and W everywhere.
        row_labels: at the left of each row.
        column_labels: K; equal neighbours are written once, over all their columns.
    """
    row_labels = [for_picture(label) for label in row_labels]
    column_labels = [for_picture(label) for label in column_labels]
    size = rows[0].shape[-1]
    scale = max(1, round(CELL / size))
    cell = size * scale + GAP
    font = ImageFont.load_default(size=13)
    left = max((round(font.getlength(label)) for label in row_labels), default=0) + 10
    top = 22
    canvas = Image.new(
        "RGB", (left + cell * len(column_labels), top + cell * len(rows)), BACKGROUND
    )
    ink = ImageDraw.Draw(canvas)
    for i, (row, label) in enumerate(zip(rows, row_labels, strict=True)):
        ink.text((4, top + i * cell + cell // 2), label, INK, font=font, anchor="lm")
        for j, picture in enumerate(row):
            canvas.paste(enlarged(picture, scale), (left + j * cell, top + i * cell))
    column = 0
    for label, group in groupby(column_labels):
        width = len(list(group))
        middle = left + (column + width / 2) * cell
        ink.text((middle, top // 2), label, INK, font=font, anchor="mm")
        column += width
    with atomic_path(path) as temporary:
        canvas.save(temporary, "PNG")


def enlarged(image_u8: Tensor, scale: int) -> Image.Image:
    """Return an image_u8 [bands, H, W] as a picture, ``scale`` times as large, in sharp pixels."""
    pixels = image_u8.permute(1, 2, 0).contiguous().numpy()
    picture = Image.fromarray(pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2))
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
