"""Weights that trainings start from."""

import pytest
import torch

from tgn.models.backbones import build_backbone, save_classifier
from tgn.models.settings import BackboneSettings


@pytest.fixture
def weights(tmp_path) -> str:
    """Weights to start from, as a network of other classes left them."""
    torch.manual_seed(3)
    net = build_backbone(BackboneSettings(arch="tiny", weights="none", size=16), tuple("abc"))
    save_classifier(tmp_path / "trained.safetensors", net)
    return str(tmp_path / "trained.safetensors")
