"""A tiny network as the frozen one, and settings that use it."""

import pytest
import torch

from tgn.assess.settings import AssessSettings
from tgn.models.backbones import build_backbone, freeze, save_classifier
from tgn.models.settings import BackboneSettings

FOLDERS = ("square", "disc", "bar", "cross")


@pytest.fixture
def settings(tmp_path):
    torch.manual_seed(1)
    net = build_backbone(BackboneSettings(arch="tiny", weights="none", size=32), FOLDERS)
    save_classifier(tmp_path / "tiny.safetensors", freeze(net))
    return AssessSettings(
        networks=f"tiny:{tmp_path / 'tiny.safetensors'}", size=32, repeats=2, device="cpu"
    )
