import pytest
import torch
from score_support import FOLDERS, REAL, picture, save, write_generated

from tgn.data.runs import Run
from tgn.data.split import ClassEntry, Split, write_split
from tgn.models.backbones import build_backbone, save_classifier
from tgn.models.settings import BackboneSettings


@pytest.fixture
def run(tmp_path):
    run = Run(tmp_path / "run")
    rows = [(f"{name}/{i}.png", k) for k, name in enumerate(FOLDERS) for i in range(REAL[name])]
    for file, k in rows:
        save(tmp_path / "data" / file, picture(FOLDERS[k], file))
    run.path.mkdir()
    entries = [ClassEntry(folder=f, name=f, train=REAL[f], val=0, test=0) for f in FOLDERS]
    split = Split(root="../data", classes=entries, num_head=1, train=rows, val=(), test=())
    write_split(run.path / "split.json", split)
    torch.manual_seed(0)
    net = build_backbone(BackboneSettings(size=16), FOLDERS)
    save_classifier(run.path / "kmdn" / "tail.safetensors", net)
    return run


@pytest.fixture
def mixed(run):
    """Copies of 'pale', one repeated picture of 'dark', fresh ones of 'single', no 'absent'."""
    pictures = {
        "pale": [picture("pale", f"pale/{i}.png") for i in range(12)],
        "dark": [picture("dark", "new")] * 20,
        "single": [picture("single", f"new {i}") for i in range(5)],
    }
    write_generated(run.path / "generated", pictures)
    return run
