"""The published classifier's layout, as one of a run's."""

import pytest
import timm
import torch

from classify.evaluation.import_published import import_classifier
from tgn.models.backbones import load_classifier
from tgn.runtime.errors import UserError


def published(folder, classes: int):
    """Write torchvision's ResNet-50 with its last layer in a Sequential; return net and file."""
    torch.manual_seed(0)
    net = timm.create_model("resnet50", num_classes=classes).eval()
    state = {k.replace("fc.", "fc.0."): v for k, v in net.state_dict().items()}
    torch.save(state, folder / "result.pth")
    return net, folder / "result.pth"


def test_labels_find_their_folders(fake_run, tmp_path):
    theirs, file = published(tmp_path, 4)
    out = tmp_path / "classifier.safetensors"
    import_classifier(fake_run.split(), file, out, 32)
    ours, images = load_classifier(out), torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.inference_mode():
        expected, found = theirs(images), ours(images).logits
    alphabetical = ["bar", "cross", "disc", "square"]
    for place, folder in enumerate(ours.facts.folders):
        torch.testing.assert_close(found[:, place], expected[:, alphabetical.index(folder)])


def test_another_layout_is_refused(fake_run, tmp_path):
    _, file = published(tmp_path, 5)
    with pytest.raises(UserError, match="has 5 classes, the run 4"):
        import_classifier(fake_run.split(), file, tmp_path / "x.safetensors", 32)
    torch.save({"fc.weight": torch.zeros(4, 8)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"no fc.0.weight"):
        import_classifier(fake_run.split(), tmp_path / "other.pth", tmp_path / "x", 32)
