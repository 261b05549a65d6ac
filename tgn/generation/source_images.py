"""The real images that a feature bank's rows stand for, as a sampling plan views them."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from tgn.data.augmentation import random_dihedral
from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1
from tgn.data.runs import Run
from tgn.generation.sampling_plan import SamplingPlan
from tgn.models.feature_bank import FeatureBank
from tgn.runtime.devices import Device


@dataclass(frozen=True)
class SourceImages:
    """Images of a feature bank, row by row."""

    images: ImageSet

    @classmethod
    def of(cls, bank: FeatureBank, run: Run, size: int, bands: int) -> Self:
        """Return the images of a bank, at ``size`` pixels.

        Args:
            bank: of the run.
            run: gives the files.
            size: side in pixels.
            bands: of an image.
        """
        split = run.split()
        row_of = {file: row for row, (file, _) in enumerate(split.train)}
        rows = torch.tensor([row_of[file] for file in bank.files])
        return cls(split.image_set("train", run.path, size, bands).subset(rows))

    def of_plan(self, plan: SamplingPlan, device: Device) -> Tensor:
        """Return the sources of a plan in the views it names, images_pm1 [K, bands, S, S]."""
        images = to_pm1(device.put(self.images.batch(plan.sources)))
        return random_dihedral(images, plan.views.to(images.device))
