"""Pictures of a run as ``data:`` URIs, small enough to travel inside the page."""

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from tgn.data.images import read_image
from tgn.data.manifest import ManifestRow
from tgn.data.runs import Run
from tgn.data.split import Split
from tgn.runtime.errors import DataError

SHOWN_A_CLASS = 8
THUMBNAIL = 64

Nearest = Mapping[str, Mapping[str, Any]]  # generated file -> its nearest real one, and how far


def data_uri(png: bytes) -> str:
    """Return PNG bytes as a ``data:`` URI."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def picture(path: Path) -> str | None:
    """Return a PNG file as it is, or None if there is none."""
    return data_uri(path.read_bytes()) if path.is_file() else None


def newest_picture(folder: Path) -> str | None:
    """Return the PNG file of a folder that is last by name, or None."""
    pictures = sorted(folder.glob("*.png"))
    return picture(pictures[-1]) if pictures else None


def samples(
    run: Run, split: Split, rows: Sequence[ManifestRow], nearest: Nearest
) -> list[dict[str, Any]]:
    """Return a few generated images a class, each beside its source and nearest real image."""
    root = (run.path / split.root).resolve()
    groups = []
    for label in split.tail_classes:
        entry = split.classes[label]
        some = [row for row in rows if row.folder == entry.folder][:SHOWN_A_CLASS]
        pairs = []
        for row in some:
            file = f"generated/{row.file}"
            near = nearest.get(file)
            pairs.append(
                {
                    "drawn": thumbnail(run.path / file),
                    "source": thumbnail(root / row.source_file) if row.source_file else "",
                    "nearest": thumbnail(run.path / near["real"]) if near else "",
                    "noise": row.noise,
                }
            )
        if pairs:
            groups.append({"name": entry.name, "pairs": pairs})
    return groups


def closest_pairs(run: Run, scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the generated images that come nearest to a training image, with that image."""
    copies = scores["pooled"]["copies"]
    return [
        {
            "drawn": thumbnail(run.path / pair["generated"]),
            "nearest": thumbnail(run.path / pair["real"]),
            "distance": pair["distance"],
        }
        for pair in (copies["nearest"] if copies else [])
    ]


def thumbnail(path: Path) -> str:
    """Return a small PNG of an image file, or an empty string if it is gone."""
    try:
        image = read_image(path)[0]
    except (DataError, FileNotFoundError):
        return ""
    smooth = Image.Resampling.BICUBIC if image.width > THUMBNAIL else Image.Resampling.NEAREST
    stream = io.BytesIO()
    image.resize((THUMBNAIL, THUMBNAIL), smooth).save(stream, "PNG")
    return data_uri(stream.getvalue())
