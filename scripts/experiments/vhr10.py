#!/usr/bin/env -S .venv/bin/python
"""VHR-10: object chips cut from NWPU VHR-10, imbalanced by nature; whole images are held out.

scripts/experiments/vhr10.py --minutes 20       (TGN_SHARED names the folder with data/vhr10.zip)

The split is splits/vhr10_chips.csv; its hashes are of the chips' pixels.
"""

import zipfile
from pathlib import Path

from common import SPLITS, arguments, pipeline, run, shared_data

from tgn.data.runs import runs_root


def chips(name: str) -> Path:
    """Return the folder of chips, cut if it is not there."""
    raw, out = runs_root() / f"{name}-raw", runs_root() / f"{name}-chips"
    if not out.exists():
        with zipfile.ZipFile(shared_data("vhr10.zip")) as archive:
            archive.extractall(raw)
        labels = next(raw.rglob("annotations.json"))
        run("tgn", "chips", str(labels), str(labels.parent / "images"), str(out))
    return out


if __name__ == "__main__":
    given = arguments(__doc__, "vhr10")
    pipeline(given, chips(given.run), SPLITS / "vhr10_chips.csv")
