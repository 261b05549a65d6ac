"""Second stages see real images only; the last layer may be fitted to them in closed form."""

import pytest
import torch
from classify_support import SMALL
from tests_support import write_generated

from classify.training import train as train_module
from classify.training.job import TrainingJob
from classify.training.settings import TrainSettings
from classify.training.train import train_classifier
from tgn.data.images import to_pm1
from tgn.models.backbones import load_classifier
from tgn.probe.classifier import refitted_network
from tgn.runtime.devices import Device
from tgn.runtime.progress import Silent


def trained(run, settings: TrainSettings):
    """Train with 30 white generated images of the smallest class; return the folder."""
    folder = write_generated(run, label=3, count=30)
    job = TrainingJob(run.path / "classify" / "x", folder)
    result = train_classifier(run, job, settings, Silent())
    assert result["generated_images"] == 30
    return job.directory


@pytest.mark.parametrize("stage", ["ridge", "crt", "lws", "maxnorm", "tau-norm", "ncm"])
def test_a_second_stage_has_no_generated_images(fake_run, monkeypatch, stage):
    given, plain = [], train_module.MixtureSampler

    def spy(real, generated, *rest):
        given.append(None if generated is None else len(generated))
        return plain(real, generated, *rest)

    monkeypatch.setattr(train_module, "MixtureSampler", spy)
    trained(fake_run, TrainSettings(**SMALL, second_stage=stage))
    assert given == [30, None]


def test_ridge_replaces_the_last_layer_by_a_fit_to_real_images(fake_run):
    settings = TrainSettings(**SMALL, second_stage="ridge", test_symmetries=4)
    directory = trained(fake_run, settings)
    found = load_classifier(directory / "classifier.safetensors")
    first = load_classifier(directory / "first-stage" / "classifier.safetensors")
    assert (found.facts.test_symmetries, bool(found.facts.probe_parts)) == (4, True)
    images = fake_run.split().image_set("train", fake_run.path, 16)
    expected = refitted_network(first, images, Device(settings), Silent())
    picture = to_pm1(images.batch(torch.arange(8)))
    with torch.inference_mode():
        outputs = [net.eval()(picture) for net in (found, expected, first)]
    torch.testing.assert_close(outputs[0].logits, outputs[1].logits)
    torch.testing.assert_close(outputs[0].features, outputs[2].features)  # the backbone stays


def test_ridge_goes_with_every_last_layer_and_others_do_not():
    for own in ({"loss": "ldam"}, {"start": "probe"}):
        TrainSettings(**own, second_stage="ridge")
        with pytest.raises(ValueError, match="its last layer is"):
            TrainSettings(**own, second_stage="crt")
