"""Looks at a validation part: the best weights are kept, training may end early."""

from contextlib import nullcontext

import pytest
import torch
from PIL import Image
from tests_support import Stops

from classify.detection.checkpoints import CHECKPOINT, load_detector, publish
from classify.detection.data.dataset import DetectionDataset, DetectionImage
from classify.detection.data.parts import Parts, with_validation
from classify.detection.settings.detector import DetectSettings
from classify.detection.training import train as training
from classify.detection.training.best_weights import BestWeights
from tgn.runtime.errors import DataError, UserError
from tgn.runtime.files import read_json, read_json_lines
from tgn.runtime.progress import Silent

QUICK = {
    "device": "cpu", "size": 64, "batch_size": 1, "log_every": 1, "fpn_channels": 32,
    "backbone": "resnet18", "detector": "gfl", "precision": "float32",
}  # fmt: skip


@pytest.fixture
def data(tmp_path):
    images, no = [], torch.zeros(1, dtype=torch.bool)
    for number in range(4):
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (64, 64), (90, 20 * number, 110)).save(path)
        box, label = torch.tensor([[8.0, 8, 40, 40]]), torch.tensor([0])
        images.append(DetectionImage(path, box, label, no, no))
    return DetectionDataset(("a",), tuple(images))


@pytest.fixture
def scores(monkeypatch):
    """Let the validation part (one image) have these scores, look by look; note the weights."""
    given, seen = [], []
    measure = training.evaluate_detector

    def evaluate(net, spec, part, *words):
        if len(part.images) != 1:
            return measure(net, spec, part, *words)
        seen.append({name: value.clone() for name, value in net.state_dict().items()})
        return {"voc12": {"ap50": given[len(seen) - 1]}}

    monkeypatch.setattr(training, "evaluate_detector", evaluate)
    return given, seen


def run(parts, folder, settings, progress=None):
    return training.train_detector(
        training.prepare_training(parts, folder, settings, progress or Silent())
    )


def equal(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def test_the_best_of_the_looks_is_the_result_whether_interrupted_or_not(tmp_path, data, scores):
    parts = Parts(data, data, DetectionDataset(data.classes, data.images[:1]))
    settings = DetectSettings(steps=3, validate_every=1, **QUICK)
    for name in ("straight", "broken"):
        scores[0][:], scores[1][:] = [0.2, 0.5, 0.4], []
        with pytest.raises(KeyboardInterrupt) if name == "broken" else nullcontext():
            run(parts, tmp_path / name, settings, Stops(2) if name == "broken" else Silent())
    assert publish(tmp_path / "broken", tmp_path / "early.safetensors") == 2
    run(parts, tmp_path / "broken", settings)
    assert len(scores[1]) == 3
    for name in ("straight", "broken"):
        folder = tmp_path / name
        assert equal(load_detector(folder / CHECKPOINT)[0].state_dict(), scores[1][1])
        assert read_json(folder / "metrics.json")["chosen"] == {"rule": training.BEST, "step": 2}
        lines = list(read_json_lines(folder / "metrics.jsonl"))
        assert [line["val_ap50"] for line in lines] == [0.2, 0.5, 0.4]
    assert publish(tmp_path / "broken", tmp_path / "late.safetensors") == 2
    assert not equal(scores[1][1], scores[1][2])

    plain = DetectSettings(steps=3, **QUICK)  # looks change no step
    result = run((data, data), tmp_path / "plain", plain)
    assert equal(load_detector(tmp_path / "plain" / CHECKPOINT)[0].state_dict(), scores[1][2])
    assert result["chosen"] == {"rule": training.LAST, "step": 3}


def test_training_ends_after_looks_without_a_gain_and_stays_ended(tmp_path, data, scores):
    parts = Parts(data, data, DetectionDataset(data.classes, data.images[:1]))
    settings = DetectSettings(epochs=4, patience=2, **{**QUICK, "batch_size": 4})
    scores[0][:] = [0.3, 0.1, 0.3]
    for _ in range(2):  # the same command again does no step
        result = run(parts, tmp_path / "x", settings)
        assert len(scores[1]) == 3
    assert result["chosen"]["step"] == 3  # of equal ones the later
    lines = list(read_json_lines(tmp_path / "x" / "metrics.jsonl"))
    assert [line["step"] for line in lines] == [1, 2, 3]

    def resume(**length):
        chosen = DetectSettings(patience=2, **{**QUICK, "batch_size": 4}, **length)
        training.check_resume(training.prepare_training(parts, tmp_path / "x", chosen, Silent()))

    resume(epochs=6)
    with pytest.raises(UserError, match="order of images differ"):
        resume(steps=6)


def test_a_gain_starts_the_patience_anew():
    best, net = BestWeights(patience=2), torch.nn.Linear(1, 1)
    found = []
    for step, score in enumerate([0.1, 0.1, 0.2, 0.1, 0.2]):
        best.look(score, step, net)
        found.append(best.is_enough)
    assert found == [False, False, False, False, True]
    assert (best.score, best.step) == (0.2, 4)
    net.weight.data += 1
    changed = net.weight.clone()
    best.load_into(net)
    assert not torch.equal(net.weight, changed)


def test_validation_images_are_held_out_of_the_training(data):
    settings = DetectSettings(validation_share=0.25, **QUICK)
    train, test, validation = with_validation(Parts(data, data), settings)
    assert (len(train.images), len(validation.images)) == (3, 1)
    assert not {image.path for image in train.images} & {image.path for image in validation.images}
    assert test is data
    assert with_validation(Parts(data, data), settings)[2] == validation


def test_parts_that_choose_nothing_are_refused(data):
    own = DetectSettings(validation_share=0.25, **QUICK)
    with pytest.raises(UserError, match="take one"):
        with_validation(Parts(data, data, data), own)
    for name in ("patience", "validate_every"):
        with pytest.raises(UserError, match=f"{name} has no effect without a validation part"):
            with_validation(Parts(data, data), DetectSettings(**{name: 3}, **QUICK))
    image = data.images[0]
    hard = DetectionImage(image.path, image.boxes, image.labels, ~image.difficult, image.crowd)
    with pytest.raises(DataError, match="nothing to choose by"):
        with_validation(
            Parts(data, data, DetectionDataset(("a",), (hard,))), DetectSettings(**QUICK)
        )
