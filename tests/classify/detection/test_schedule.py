"""Length and learning rates of a detector's training, and which images its steps show."""

import pytest
import torch

from classify.detection.data.dataset import DetectionDataset
from classify.detection.data.training_samples import TrainingSamples
from classify.detection.settings.detector import DetectSettings
from classify.detection.training.schedule import learning_rate, schedule_in_words
from tgn.runtime.errors import UserError
from tgn.runtime.lr_schedule import warmup_cosine

VOC = {  # the field's schedule, short
    "epochs": 4, "batch_size": 2, "lr": 0.02, "lr_schedule": "milestones", "milestones": (2, 3),
    "warmup_steps": 4, "warmup_factor": 0.25,
}  # fmt: skip


def rates(settings):
    return [learning_rate(settings, step) for step in range(settings.steps)]


def test_the_default_rates_are_a_warmup_and_half_a_cosine():
    settings = DetectSettings(steps=100)
    expected = [0.0005 * warmup_cosine(step / 100) for step in range(100)]
    assert rates(settings) == pytest.approx(expected, rel=1e-3)


def test_rates_rise_linearly_and_fall_at_milestones_in_epochs():
    settings = DetectSettings(**VOC).of_length(5)  # three steps an epoch
    assert settings.steps == 12
    expected = [0.005, 0.00875, 0.0125, 0.01625, 0.02, 0.02, *[0.002] * 3, *[0.0002] * 3]
    assert rates(settings) == pytest.approx(expected)
    assert schedule_in_words(settings, 5) == (
        "12 steps of 2 images (4 epochs of 3 steps); learning rate from 0.005 to 0.02 in 4 steps, "
        "0.002 after epoch 2, step 6, 0.0002 after epoch 3, step 9"
    )
    in_steps = DetectSettings(
        steps=4, lr=1, lr_schedule="milestones", milestones=[2], decay=0.5, warmup_steps=0
    )
    assert rates(in_steps) == [1, 1, 0.5, 0.5]
    assert rates(DetectSettings(steps=2, lr=1, lr_schedule="constant", warmup_steps=0)) == [1, 1]


def test_an_epoch_shows_every_image_once_in_its_own_order():
    data = DetectionDataset(("a",), (None,) * 5)

    def shown(**changes):
        settings = DetectSettings(**{**VOC, **changes}).of_length(5)
        samples = TrainingSamples(data, settings)
        steps = range(settings.steps)
        return [samples.rows(step) for step in steps], settings.steps_per_epoch

    rows, length = shown()
    epochs = [torch.cat(rows[k : k + length]).tolist() for k in range(0, len(rows), length)]
    for order in epochs:
        assert sorted(order[:5]) == list(range(5))
        assert order[5:] == order[:1]  # the last batch is filled up
    assert len({tuple(order) for order in epochs}) == len(epochs)
    longer, _ = shown(epochs=5)
    assert all(torch.equal(a, b) for a, b in zip(rows, longer[: len(rows)], strict=True))
    assert not torch.equal(torch.cat(rows), torch.cat(shown(seed=1)[0]))
    small, length = shown(batch_size=16)  # more than there are images
    assert (length, len(small[0])) == (1, 16)
    assert set(small[0].tolist()) == set(range(5))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"milestones": [3, 2]}, "milestones must rise"),
        ({"milestones": [2, 4]}, r"milestones \[4\] are never met in 4 epochs"),
        ({"warmup_steps": 0}, "warmup_factor has no effect"),
    ],
)
def test_schedules_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        DetectSettings(**{**VOC, **changes})


def test_epochs_and_other_steps_are_refused_but_recorded_ones_are_read():
    recorded = DetectSettings(**VOC).of_length(5).model_dump()
    assert DetectSettings(**recorded).of_length(5).steps == 12
    with pytest.raises(UserError, match="these epochs of 7 images are 16 steps; leave one"):
        DetectSettings(**recorded).of_length(7)
