"""What the batch of a step consists of under each use of generated images."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from tests_support import write_generated

from classify.training.class_frequencies import ClassFrequencies, GeneratedUse
from classify.training.generated_plan import use_of_generated
from classify.training.job import TrainingJob
from classify.training.sampling import BatchRequest, ClassRows, MixtureSampler
from classify.training.settings import TrainSettings
from classify.training.uses.curriculum import Curriculum, check_ratios
from classify.training.uses.halves import join_halves
from tgn.data.image_set import ImageSet
from tgn.data.manifest import active_rows, image_set
from tgn.runtime.errors import DataError

REAL, GENERATED = torch.tensor([24, 12, 6, 4]), torch.tensor([0, 12, 0, 30])


def shares(*values: float) -> torch.Tensor:
    given = torch.tensor(values, dtype=torch.float64)
    return given / given.sum()


@pytest.fixture
def white(fake_run):
    """The fake run with 30 white generated images of its smallest class."""
    write_generated(fake_run, label=3, count=30)
    return fake_run


def sampler(run, use: GeneratedUse, sampling="random") -> MixtureSampler:
    folder, split = run.path / "generated", run.split()
    generated = image_set(folder, active_rows(folder, split), split, 16)
    real = split.image_set("train", run.path, 16)
    return MixtureSampler(real, generated, sampling, split.num_classes, use)


def test_first_a_class_has_its_generated_images_alone():
    """24, 12 + 12, 6 and 4 + 20 images; those of the second and last class are all generated."""
    found = ClassFrequencies(REAL, GENERATED, "random", GeneratedUse(kind="first"))
    assert found.at(0.59).generated.tolist() == [0, 1, 0, 1]
    torch.testing.assert_close(found.at(0.59).real, shares(24, 24, 6, 24))
    assert found.at(0.6).generated.tolist() == [0, 0, 0, 0]
    torch.testing.assert_close(found.at(0.6).real, shares(24, 12, 6, 4))


def test_a_batch_of_the_first_part_is_generated_wherever_it_can_be(white):
    mix = sampler(white, GeneratedUse(kind="first"))
    for progress, expected in ((0.59, True), (0.6, False)):
        batch = mix.batch(BatchRequest(400, 0, 0, progress))
        assert torch.equal(batch.is_generated, (batch.labels == 3) & expected)
        assert torch.equal((batch.images_u8 == 255).flatten(1).all(1), batch.is_generated)


def test_a_plan_warns_of_classes_that_have_none(white):
    job = TrainingJob(white.path / "x", white.path / "generated")
    chosen = TrainSettings(arch="tiny", size=16, generated_use="first")
    plan = use_of_generated(white, job, chosen)
    assert "have 100% (cross) to 100% (cross) of the places of their class in the first" in plan
    assert "warning: 3 classes have no generated images" in plan
    assert "tgn generate --class every" in plan
    assert "warning" not in use_of_generated(white, job, TrainSettings(arch="tiny", size=16))


def test_halves_are_joined_on_each_of_four_sides():
    real, generated = torch.zeros(4, 1, 2, 2).byte(), torch.ones(4, 1, 2, 2).byte()
    joined = join_halves(real, generated, torch.arange(4))
    assert joined[:, 0].tolist() == [[[1, 0]] * 2, [[0, 1]] * 2, [[1, 1], [0, 0]], [[0, 0], [1, 1]]]


def test_a_blended_image_is_half_a_real_one_of_its_class(white):
    plain, mix = (sampler(white, GeneratedUse(kind=kind)) for kind in ("beside", "blended"))
    request = BatchRequest(200, 0, 3)
    beside, batch = plain.batch(request), mix.batch(request)
    assert torch.equal(batch.labels, beside.labels)
    assert torch.equal(batch.is_generated, beside.is_generated)
    real_rows = ~batch.is_generated
    assert torch.equal(batch.images_u8[real_rows], beside.images_u8[real_rows])
    own = mix.real.batch((mix.real.labels == 3).nonzero().flatten())  # [4, 3, 16, 16]
    generated_pixels = torch.zeros(16, 16)
    for image in batch.images_u8[batch.is_generated]:
        is_white = (image == 255).all(0)
        assert int(is_white.sum()) == 128
        assert any(torch.equal(image[:, ~is_white], one[:, ~is_white]) for one in own)
        generated_pixels += is_white
    assert generated_pixels.min() > 0  # every side is the generated one now and then
    again = mix.batch(request)
    assert torch.equal(again.images_u8, batch.images_u8)


def test_of_cmo_either_the_backgrounds_or_the_pasted_parts_are_generated(white):
    mixed, plain = BatchRequest(200, 0, 1, foreground_power=1.0), BatchRequest(200, 0, 1)
    background = sampler(white, GeneratedUse(kind="background"), "class-balanced")
    batch = background.batch(mixed)
    assert batch.is_generated[:200].any()
    assert not batch.is_generated[200:].any()
    torch.testing.assert_close(batch.prior, shares(2, 2, 2, 1))  # half of the last class is real
    assert not background.batch(plain).is_generated.any()
    pasted = sampler(white, GeneratedUse(kind="pasted"), "class-balanced")
    batch = pasted.batch(mixed)
    assert not batch.is_generated[:200].any()
    assert batch.is_generated[200:].any()
    assert set(batch.labels[batch.is_generated].tolist()) == {3}
    torch.testing.assert_close(batch.prior, shares(1, 1, 1, 1))
    assert not pasted.batch(plain).is_generated.any()
    late = BatchRequest(200, 0, 1, 0.6, foreground_power=1.0)
    assert not background.batch(late).is_generated.any()
    assert not pasted.batch(late).is_generated.any()


def test_a_curriculum_goes_from_large_ratios_to_small_ones():
    """Class 1 has no image of 0.7, class 2 none of 0.4: the nearest stage, of two the earlier."""
    noise = torch.tensor([0.4, 1.0, 0.7, 0.4, 1.0, 0.7, 1.0], dtype=torch.float64)
    labels = torch.tensor([0, 0, 0, 1, 1, 2, 2])
    found = Curriculum(noise, labels, 4)
    rows = ClassRows(found.groups, found.has.numel())
    expected = {0.0: [1, 1, 1], 0.3: [1, 1, 1], 0.34: [0.7, 1, 0.7], 0.67: [0.4, 0.4, 0.7]}
    for done, ratios in expected.items():
        picked = rows.pick(found.groups_at(torch.arange(3), done), torch.full((3,), 0.5))
        assert labels[picked].tolist() == [0, 1, 2]
        assert noise[picked].tolist() == ratios, done
    assert torch.equal(
        found.groups_at(torch.arange(3), 0.99), found.groups_at(torch.arange(3), 0.7)
    )


def test_a_batch_has_images_of_the_ratio_of_its_stage(fake_run, tmp_path):
    """Images of ratio r have the grey value 100 r; generated_until ends the last stage."""
    split, ratios = fake_run.split(), [1.0, 0.5] * 10
    for row, ratio in enumerate(ratios):
        Image.new("RGB", (16, 16), (int(100 * ratio),) * 3).save(tmp_path / f"{row}.png")
    generated = ImageSet([tmp_path / f"{row}.png" for row in range(20)], [3] * 20, 16)
    use = GeneratedUse(until=0.6, kind="curriculum", noise=torch.tensor(ratios).double())
    real = split.image_set("train", fake_run.path, 16)
    mix = MixtureSampler(real, generated, "class-balanced", split.num_classes, use)
    for progress, grey in ((0.0, 100), (0.29, 100), (0.31, 50), (0.59, 50)):
        batch = mix.batch(BatchRequest(64, 0, 0, progress))
        assert batch.is_generated.any()
        assert batch.images_u8[batch.is_generated].unique().tolist() == [grey]
    assert mix.frequencies.at(0.3).generated.tolist() == [0, 0, 0, 0.5]


@pytest.mark.parametrize(
    ("noise", "message"),
    [([0.5, 0.5], "of one noise ratio, 0.5, in x"), ([0.5, None], "without one"), ([], "without")],
)
def test_images_that_give_no_curriculum_are_refused(noise, message):
    with pytest.raises(DataError, match=message) as error:
        check_ratios(noise, Path("x"))
    assert "tgn generate --class all --noise 1,0.7,0.4" in str(error.value)
    check_ratios([0.5, 1.0], Path("x"))
