"""Images of a run as ``data:`` URIs, small enough to embed in the page."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from tgn.data.images import read_image
from tgn.data.manifest import ManifestRow
from tgn.data.runs import Run
from tgn.data.sample_range import SampleRange
from tgn.data.split import EVERY, Split
from tgn.report.result_files import NearestImage
from tgn.runtime.errors import DataError
from tgn.runtime.html_pages import data_uri
from tgn.scoring.results import Scores

SAMPLES_PER_CLASS = 8
THUMBNAIL = 64  # pixels

Nearest = Mapping[str, NearestImage]  # generated file -> its nearest real one


def picture(path: Path) -> str | None:
    """Return a PNG file as a ``data:`` URI, or None if there is none that can be read."""
    try:
        return data_uri(path.read_bytes())
    except OSError:
        return None


def newest_picture(folder: Path) -> str | None:
    """Return the last PNG file of a folder by name as a ``data:`` URI, or None."""
    pictures = sorted(folder.glob("*.png"))
    return picture(pictures[-1]) if pictures else None


def samples(
    run: Run, split: Split, rows: Sequence[ManifestRow], nearest: Nearest
) -> list[dict[str, Any]]:
    """Return a few generated images per class, each with its source and nearest real image.

    Tail classes come first.
    """
    root = (run.path / split.root).resolve()
    groups = []
    known = split.sample_range
    for label in split.classes_called(EVERY):
        entry = split.classes[label]
        selected = [row for row in rows if row.folder == entry.folder][:SAMPLES_PER_CLASS]
        pairs = []
        for row in selected:
            file = f"generated/{row.file}"
            near = nearest.get(file)
            pairs.append(
                {
                    "generated": thumbnail(run.path / file),
                    "source": thumbnail(root / row.source_file, known) if row.source_file else "",
                    "nearest": thumbnail(run.path / near.real, known) if near else "",
                    "noise": row.noise,
                }
            )
        if pairs:
            groups.append({"name": entry.name, "is_head": split.is_head(label), "pairs": pairs})
    return groups


def closest_pairs(run: Run, scores: Scores) -> list[dict[str, Any]]:
    """Return the generated images nearest to a training image, with that image."""
    copies = scores.pooled.copies
    return [
        {
            "generated": thumbnail(run.path / pair.generated),
            "nearest": thumbnail(run.path / pair.real, run.split().sample_range),
            "distance": pair.distance,
        }
        for pair in (copies.nearest if copies else ())
    ]


def thumbnail(path: Path, sample_range: SampleRange | None = None) -> str:
    """Return a small PNG of an image file as a ``data:`` URI, or "" if it cannot be read."""
    try:
        image = read_image(path, sample_range=sample_range)[0]
    except (DataError, OSError):
        return ""
    smooth = Image.Resampling.BICUBIC if image.width > THUMBNAIL else Image.Resampling.NEAREST
    stream = io.BytesIO()
    image.resize((THUMBNAIL, THUMBNAIL), smooth).save(stream, "PNG")
    return data_uri(stream.getvalue())
