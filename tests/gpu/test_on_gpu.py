"""Every training and both generators on a CUDA device: ``pytest -m gpu``."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests_support import SMALL_NETS

from classify.training.job import TrainingJob
from classify.training.settings import TrainSettings
from classify.training.train import train_classifier
from tgn.backends import generate
from tgn.data.manifest import read_manifest
from tgn.data.runs import Run
from tgn.generation.cdtg.settings import CdtgSampleSettings, CdtgTrainSettings
from tgn.generation.cdtg.train import train_cdtg
from tgn.generation.cdtg.trainer import CdtgTrainer
from tgn.generation.diffusion.settings import DiffusionSampleSettings, DiffusionTrainSettings
from tgn.generation.diffusion.train import train_diffusion
from tgn.generation.generate import GenerationRequest
from tgn.generation.settings import GenerateSettings
from tgn.kmdn.distill import distill
from tgn.kmdn.settings import DistillSettings
from tgn.models.backbones import load_classifier
from tgn.models.feature_bank import tail_net_file
from tgn.runtime.checkpoints import load_weights
from tgn.runtime.progress import Silent

pytestmark = pytest.mark.gpu

PRECISIONS = ("float32", "bf16")


def on_gpu(precision: str, **more: object) -> dict[str, object]:
    return {"device": "cuda", "precision": precision, "batch_size": 8, **more}


def images_of(run: Run, settings: GenerateSettings, folder: str) -> torch.Tensor:
    """Generate two images of each tail class; return all, uint8."""
    tail = tuple(run.split().tail_classes)
    out = run.path / folder
    generate(run, GenerationRequest(tail, out, settings), Silent(), True)
    return torch.stack([read_image(out / row.file) for row in read_manifest(out)])


def read_image(file: Path) -> torch.Tensor:
    with Image.open(file) as image:
        return torch.from_numpy(np.array(image))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_tail_net_learns(fake_run, precision):
    chosen = DistillSettings.model_validate(
        on_gpu(precision, **SMALL_NETS, steps=60, bank_views=2, control=False, log_every=5)
    )
    distill(fake_run, chosen, Silent())
    weights = load_weights(tail_net_file(fake_run.kmdn))
    assert all(value.isfinite().all() for value in weights.values() if value.is_floating_point())


def test_features_equal_those_of_the_cpu(distilled):
    net = load_classifier(tail_net_file(distilled.kmdn)).eval()
    images = torch.rand(8, 3, 32, 32) * 2 - 1
    with torch.inference_mode():
        ours = net(images).logits.float()
        theirs = net.cuda()(images.cuda()).logits.float().cpu()
    assert (ours - theirs).norm() / ours.norm() < 1e-2  # tf32


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # of torch.compile itself
@pytest.mark.parametrize("precision", PRECISIONS)
def test_cdtg_trains_goes_on_after_a_stop_and_generates(distilled, precision, monkeypatch):
    chosen = CdtgTrainSettings.model_validate(
        on_gpu(
            precision,
            steps=6,
            size=32,
            width=32,
            clip_steps=4,
            save_every=2,
            grid_every=3,
        )
    )
    train_step = CdtgTrainer.train_step

    def stopped(self: CdtgTrainer, step: int) -> object:
        if step == 4:
            raise KeyboardInterrupt
        return train_step(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(CdtgTrainer, "train_step", stopped)
        with pytest.raises(KeyboardInterrupt):
            train_cdtg(distilled, chosen, Silent())
    train_cdtg(distilled, chosen, Silent())
    plain, fast = (
        images_of(distilled, CdtgSampleSettings(n=2, device="cuda", compile=each), f"c{each}")
        for each in (False, True)
    )
    assert plain.float().std() > 1
    assert (plain.float() - fast.float()).abs().mean() < 2


@pytest.mark.parametrize("precision", PRECISIONS)
def test_diffusion_trains_and_generates(distilled, precision):
    chosen = DiffusionTrainSettings.model_validate(
        on_gpu(precision, steps=6, autoencoder_steps=4, size=32, grid_every=3)
    )
    train_diffusion(distilled, chosen, Silent())
    settings = DiffusionSampleSettings(n=2, device="cuda", sampling_steps=4)
    assert images_of(distilled, settings, "d").float().std() > 1


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_classifier_learns_the_shapes(fake_run, precision):
    chosen = TrainSettings.model_validate(
        on_gpu(precision, arch="tiny", size=32, steps=120, lr=0.1)
    )
    result = train_classifier(fake_run, TrainingJob(fake_run.path / "gpu"), chosen, Silent())
    assert result["balanced"] > 0.5
