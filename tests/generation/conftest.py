"""Generators of the tests are trained in seconds."""

import pytest

from tgn.generation.latents import trainer
from tgn.models import tail_features


@pytest.fixture(autouse=True)
def _few_reference_pairs(monkeypatch):
    """Measure the distance of real images on fewer pairs: tests have few images."""
    monkeypatch.setattr(tail_features, "REFERENCE_PAIRS", 64)


@pytest.fixture(autouse=True)
def _few_images_for_the_autoencoder(monkeypatch):
    """Train the autoencoder on small batches."""
    monkeypatch.setattr(trainer, "BATCH_SIZE", 8)
