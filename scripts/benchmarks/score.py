#!/usr/bin/env -S .venv/bin/python
"""Is scoring as fast as torch-fidelity on the same features? Ratios inside one run.

    scripts/benchmarks/score.py --rows 10000 --dimension 512

Over 1.0: ours is faster. Peak memory of ours is bounded by the chunk, not by the set.
"""

import argparse
import resource
import tempfile
import warnings
from pathlib import Path
from unittest import mock

import torch
from machine import machine
from timing import seconds
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from tgn.data.image_set import ImageSet
from tgn.metrics.frechet import frechet_distance
from tgn.metrics.kernel import kernel_distance
from tgn.metrics.precision_and_recall import neighbour_balls
from tgn.metrics.statistics import FeatureStatistics
from tgn.models.extractors import load_extractor
from tgn.runtime.devices import Device
from tgn.runtime.progress import Silent
from tgn.runtime.settings import ComputeSettings


def theirs_fid(x: torch.Tensor, y: torch.Tensor) -> None:
    """FID of torch-fidelity."""
    fid_statistics_to_metric(fid_features_to_statistics(x), fid_features_to_statistics(y), False)


def random_inception(file: Path) -> FeatureExtractorInceptionV3:
    """Build torch-fidelity's Inception with random weights and save them."""

    def keep_own(self: torch.nn.Module, *_: object, **__: object) -> None:
        torch.save(self.state_dict(), file)

    with (
        mock.patch.object(FeatureExtractorInceptionV3, "load_state_dict", keep_own),
        mock.patch.object(torch, "load", return_value={}),  # the weights it would download
    ):
        return FeatureExtractorInceptionV3("random", ["2048"], "unused")


def feature_rates(count: int) -> tuple[float, float]:
    """Return images a second of ours and of theirs: Inception on images of 64 px in memory."""
    images = ImageSet([Path()] * count, [0] * count, 64)
    images_u8 = torch.randint(256, (count, 3, 64, 64), dtype=torch.uint8)
    images._cache = images_u8
    device = Device(ComputeSettings(precision="float32"))
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the network is traced
        file = Path(name) / "inception.pth"
        theirs = random_inception(file).to(device.torch_device)
        ours = load_extractor(f"inception:{file}")
        ours.features(images.subset(torch.arange(8)), device, Silent())

        def their_features() -> None:
            with torch.inference_mode():
                for part in images_u8.split(64):
                    theirs(part.to(device.torch_device))[0].cpu()

        own = seconds(lambda: ours.features(images, device, Silent()))
        return count / own, count / seconds(their_features)


def main() -> None:
    """Time each figure on both sides and print the ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--images", type=int, default=256, help="for the features")
    given = parser.parse_args()
    x, y = torch.randn(2, given.rows, given.dimension)
    kid = {"kid_subsets": 100, "kid_subset_size": 1000, "verbose": False}
    prc = {"prc_neighborhood": 5, "prc_batch_size": 10_000, "save_cpu_ram": True, "verbose": False}
    cases = {
        "precision, recall (ours: + density, coverage)": (
            lambda: neighbour_balls(x, y),
            lambda: prc_features_to_metric(x, y, **prc),
        ),
        "KID": (
            lambda: kernel_distance(x, y, seed=0),
            lambda: kid_features_to_metric(x, y, **kid),
        ),
        "FID": (
            lambda: frechet_distance(FeatureStatistics.of(x), FeatureStatistics.of(y)),
            lambda: theirs_fid(x, y),
        ),
    }
    print(f"{given.rows} x {given.rows} features of {given.dimension}; {machine()}")
    own, other = feature_rates(given.images)
    print(
        f"Inception features: {own:.1f} images/s, torch-fidelity {other:.1f}, "
        f"ratio {own / other:.2f}"
    )
    for name, (ours, theirs) in cases.items():
        own = seconds(ours)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        other = seconds(theirs)
        print(f"{name}: {own:.1f} s, torch-fidelity {other:.1f} s, ratio {other / own:.2f}")
        print(f"  peak memory so far, before theirs: {peak:.1f} GiB")


if __name__ == "__main__":
    main()
