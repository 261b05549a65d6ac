"""Generators of the tests are trained in seconds."""

import pytest

from tgn.models import tail_features


@pytest.fixture(autouse=True)
def _few_reference_pairs(monkeypatch):
    """Measure the distance of real images on fewer pairs: tests have few images."""
    monkeypatch.setattr(tail_features, "REFERENCE_PAIRS", 64)
