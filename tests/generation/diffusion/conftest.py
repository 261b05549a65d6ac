"""The tests of diffusion share one tiny pretrained model."""

import pytest
from pretrained_support import write_tiny_pipeline


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> str:
    """Return the folder of a tiny pipeline."""
    return write_tiny_pipeline(tmp_path_factory.mktemp("pretrained"))
