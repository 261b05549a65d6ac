#!/usr/bin/env -S .venv/bin/python
"""What does memory grow with? The peak of one process for each of a row of sizes.

    scripts/benchmarks/memory.py

Generating: with the number of images. Training: with the size of the set beyond the cache, and with
the batch. The manifest: with its lines. Each case runs in a process of its own.
"""

import argparse
import multiprocessing
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from machine import machine
from made_up import made_up_run
from PIL import Image

from tgn.backends import generate
from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1
from tgn.data.manifest import ManifestRow, ManifestWriter, image_set, read_manifest
from tgn.generation.cdtg.settings import CdtgSampleSettings, CdtgTrainSettings
from tgn.generation.cdtg.train import build_cdtg_trainer
from tgn.generation.generate import GenerationRequest
from tgn.runtime.devices import Device
from tgn.runtime.progress import Silent
from tgn.runtime.settings import ComputeSettings
from tgn.runtime.training_loop import Job

CLASS = 3


def generating(folder: Path, images: int) -> None:
    """Generate images with a generator of the usual size."""
    run = made_up_run(folder)
    request = GenerationRequest((CLASS,), folder / "out", CdtgSampleSettings(n=images))
    generate(run, request, Silent())


def set_size(folder: Path, images: int) -> None:
    """Go twice over a set that is decoded at every use."""
    file = folder / "one.png"
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)
    found, device = ImageSet([file] * images, [0] * images, 64, cache_bytes=0), Device(CPU)
    for rows in torch.randperm(images).split(256):
        to_pm1(device.put(found.batch(rows)))


def batch_size(folder: Path, batch: int) -> None:
    """Train a generator of the usual size for a few steps."""
    run = made_up_run(folder)
    settings = CdtgTrainSettings(batch_size=batch, clip="none")
    trainer = build_cdtg_trainer(run, settings, Job(folder / "x", Device(settings), Silent()))
    for step in range(3):
        trainer.train_step(step)


def manifest(folder: Path, lines: int) -> None:
    """Join a manifest, read it, and list its images for a training."""
    run = made_up_run(folder)
    entry = run.split().classes[CLASS]
    writer = ManifestWriter(folder)
    (folder / entry.folder).mkdir()
    (folder / entry.folder / "0.png").touch()
    some = []
    for index in range(lines):
        row = {"file": f"{entry.folder}/0.png", "folder": entry.folder, "class_index": CLASS}
        some.append(ManifestRow.model_validate({**row, "index": index, "sha256": "0" * 64}))
        if len(some) == 1000 or index == lines - 1:
            writer.append(some)
            some = []
    writer.finish()
    image_set(folder, read_manifest(folder), run.split(), 64)


CPU = ComputeSettings(device="cpu")
CASES: dict[str, tuple[Callable[[Path, int], None], tuple[int, ...]]] = {
    "generating, by images": (generating, (64, 1024, 4096)),
    "reading a set that is not cached, by images": (set_size, (1_000, 10_000, 40_000)),
    "training, by batch": (batch_size, (32, 64, 128, 256)),
    "a manifest, by lines": (manifest, (1_000, 100_000, 1_000_000)),
}


def peak(case: str, size: int, peaks: "multiprocessing.Queue[int]") -> None:
    """Run a case and report the most memory that the process ever had, in MiB."""
    with tempfile.TemporaryDirectory() as name:
        CASES[case][0](Path(name), size)
    peaks.put(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)


def main() -> None:
    """Print the peak of every case."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=CASES, help="one of the cases")
    given = parser.parse_args()
    print(machine())
    spawn = multiprocessing.get_context("spawn")
    for case in [given.only] if given.only else CASES:
        found = []
        for size in CASES[case][1]:
            peaks = spawn.Queue()
            process = spawn.Process(target=peak, args=(case, size, peaks))
            process.start()
            process.join()
            found.append(f"{size:,}: {peaks.get()} MiB")
        print(f"{case}: {', '.join(found)}", flush=True)


if __name__ == "__main__":
    main()
