"""Generators of the tests are trained in seconds."""

from collections.abc import Iterator
from functools import partial

import pytest

from tgn.generation import training_monitor
from tgn.generation.diffusion import trainer as denoiser_trainer
from tgn.generation.diffusion.settings import DiffusionSampleSettings
from tgn.generation.latents import trainer
from tgn.models import tail_features


@pytest.fixture(autouse=True, scope="module")
def _less_work() -> Iterator[None]:
    """Do less of what no test of these rooms is about; also in what a module makes once."""
    with pytest.MonkeyPatch.context() as patch:
        # The distance of real images is measured on fewer pairs: tests have few images.
        patch.setattr(tail_features, "REFERENCE_PAIRS", 64)
        patch.setattr(trainer, "BATCH_SIZE", 8)  # of the autoencoder
        patch.setattr(training_monitor, "COLUMNS", 1)
        patch.setattr(training_monitor, "CHECKED_IMAGES", 5)  # the smallest class has 4
        # Grids and the yardstick of a training are drawn in two steps, not twenty.
        quick = partial(DiffusionSampleSettings, sampling_steps=2)
        patch.setattr(denoiser_trainer, "DiffusionSampleSettings", quick)
        yield
