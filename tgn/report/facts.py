"""What the files of a run say, ready for the page; a missing file is a missing fact."""

import base64
import io
from collections import Counter
from pathlib import Path
from typing import Any

from PIL import Image

from tgn.core.errors import DataError
from tgn.core.files import read_json, read_json_lines
from tgn.core.images import read_image
from tgn.core.manifest import MANIFEST, ManifestRow, read_manifest
from tgn.core.runs import Run
from tgn.core.split import Split
from tgn.report.charts import class_histogram, training_curves

VERBS = ("run", "distill", "train", "generate")
STAGES = ("kmdn", "cdtg")
SHOWN_A_CLASS = 8
THUMBNAIL = 64


def gather(run: Run) -> dict[str, Any]:
    """Return everything the page shows."""
    split = run.split()
    rows = _manifest(run.path / "generated")
    return {
        "run": run.name,
        "split": split,
        "histogram": data_uri(class_histogram(split, Counter(row.folder for row in rows))),
        "records": {verb: record for verb in VERBS if (record := run.recorded(verb))},
        "accuracy": _json(run.path / "kmdn" / "accuracy.json"),
        "curves": {
            stage: _curves(run.path / stage / "metrics.jsonl") for stage in ("kmdn", "cdtg")
        },
        "grid": _newest_picture(run.path / "cdtg" / "grids"),
        "alarms": _lines(run.path / "cdtg" / "alarms.jsonl"),
        "samples": _samples(run, split, rows),
        "scores": _newest_scores(run.path / "scores"),
        "compare": _json(run.path / "compare.json"),
        "compare_picture": _picture(run.path / "compare.png"),
    }


def data_uri(png: bytes) -> str:
    """Return PNG bytes as a ``data:`` URI."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _json(path: Path) -> Any:
    return read_json(path) if path.is_file() else None


def _lines(path: Path) -> list[dict[str, Any]]:
    return list(read_json_lines(path)) if path.is_file() else []


def _curves(path: Path) -> str | None:
    picture = training_curves(_lines(path))
    return data_uri(picture) if picture else None


def _picture(path: Path) -> str | None:
    return data_uri(path.read_bytes()) if path.is_file() else None


def _newest_picture(folder: Path) -> str | None:
    pictures = sorted(folder.glob("*.png"))
    return _picture(pictures[-1]) if pictures else None


def _newest_scores(folder: Path) -> Any:
    """Return the newest scores of the run's own images, which the page shows beside them."""
    files = sorted(folder.glob("generated-*.json"), key=lambda path: path.stat().st_mtime_ns)
    return read_json(files[-1]) if files else None


def _manifest(folder: Path) -> list[ManifestRow]:
    return list(read_manifest(folder)) if (folder / MANIFEST).is_file() else []


def _samples(run: Run, split: Split, rows: list[ManifestRow]) -> list[dict[str, Any]]:
    """Return a few generated images a class, each with its source image."""
    root = (run.path / split.root).resolve()
    samples = []
    for label in split.tail_classes:
        entry = split.classes[label]
        some = [row for row in rows if row.folder == entry.folder][:SHOWN_A_CLASS]
        pairs = [
            {
                "drawn": _thumbnail(run.path / "generated" / row.file),
                "source": _thumbnail(root / row.source_file),
                "noise": row.noise,
            }
            for row in some
        ]
        if pairs:
            samples.append({"name": entry.name, "pairs": pairs})
    return samples


def _thumbnail(path: Path) -> str:
    """Return a small PNG of an image file, or an empty string if it is gone."""
    if not path.is_file():
        return ""
    try:
        picture = read_image(path)[0]
    except DataError:
        return ""
    smooth = Image.Resampling.BICUBIC if picture.width > THUMBNAIL else Image.Resampling.NEAREST
    stream = io.BytesIO()
    picture.resize((THUMBNAIL, THUMBNAIL), smooth).save(stream, "PNG")
    return data_uri(stream.getvalue())
