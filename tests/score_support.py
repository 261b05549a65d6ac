"""Made-up classes and pictures for the tests of scoring."""

import hashlib

import numpy as np
from PIL import Image

from tgn.data.manifest import ManifestRow

FOLDERS = ("head", "pale", "dark", "single", "absent")
REAL = {"head": 6, "pale": 12, "dark": 8, "single": 1, "absent": 3}
LEVEL = {"head": 128, "pale": 180, "dark": 70, "single": 30, "absent": 200}


def picture(folder, number):
    seed = int.from_bytes(hashlib.sha256(f"{folder}{number}".encode()).digest()[:4], "big")
    rng = np.random.default_rng(seed)
    return np.clip(LEVEL[folder] + rng.normal(0, 30, (16, 16, 3)), 0, 255).astype(np.uint8)


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_generated(folder, pictures, sources=None, weights_sha256="", others=()):
    """Write {class folder: list of pixels} with a manifest; sources by class or for all.

    Args:
        folder: to write.
        pictures: pixels.
        sources: file of each image of a class.
        weights_sha256: of the generator.
        others: files that every image has parts of as well, if they are not its source.
    """
    lines = []
    for name, all_pixels in pictures.items():
        own = sources.get(name) if isinstance(sources, dict) else sources
        for i, pixels in enumerate(all_pixels):
            file = f"{name}/{i}.png"
            save(folder / file, pixels)
            row = ManifestRow(
                file=file, folder=name, class_index=FOLDERS.index(name), index=i, seed=0,
                noise=0.5, source=0, source_file=own[i] if own else "",
                other_files=tuple(other for other in others if not own or other != own[i]),
                weights_sha256=weights_sha256, sha256="",
            )  # fmt: skip
            lines.append(row.model_dump_json() + "\n")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.jsonl").write_text("".join(lines))
