"""The determinism contract of sampling, written out once more."""

import pytest
import torch

from tgn.data.split import ClassEntry, Split
from tgn.generation.sampling_plan import draw_images, image_seed, plan_block
from tgn.generation.settings import GenerateSettings
from tgn.models.feature_bank import FeatureBank
from tgn.runtime.errors import NotFoundError
from tgn.runtime.seeds import seed_of

VIEWS = 4


@pytest.fixture
def bank():
    """Three images of class 1 and two of class 2, in turn."""
    labels = torch.tensor([1, 2, 1, 2, 1])
    files = [f"{number}.png" for number in range(5)]
    return FeatureBank(torch.zeros(5, VIEWS, 2, 1, 1).half(), labels, files, "abc")


def plan(bank, block, size, seed=7, label=1):
    names = ("square", "bar", "cross", "disc")
    classes = [ClassEntry(folder=name, name=name, train=3, val=0, test=0) for name in names]
    split = Split(root="", classes=classes, num_head=1, train=(), val=(), test=())
    return plan_block(bank, split, label, block, GenerateSettings(block=size, seed=seed))


def test_an_image_is_planned_from_seed_folder_and_index_alone(bank):
    found = plan(bank, 1, 4)
    noise, prompts = found.noise(2, 3), found.choose("abcdef")
    for place, index in enumerate(range(4, 8)):
        seed = seed_of(7, "image", "bar", index)
        own = torch.Generator().manual_seed(seed)
        assert found.seeds[place] == image_seed(7, "bar", index) == seed
        assert found.views[place] == torch.randint(VIEWS, (), generator=own)
        assert torch.equal(noise[place], torch.randn(2, 3, generator=own))
        assert prompts[place] == "abcdef"[int(torch.randint(6, (), generator=own))]
        assert found.sources[place] == (0, 2, 4)[index % 3]
    expected = zip(found.sources.tolist(), found.seeds, strict=True)
    views = found.views.tolist()
    assert found.origins == [
        (source, seed, (), view) for (source, seed), view in zip(expected, views, strict=True)
    ]


def test_the_size_of_blocks_does_not_matter(bank):
    whole, parts = plan(bank, 0, 6), [plan(bank, block, 2) for block in range(3)]
    assert whole.seeds == [seed for part in parts for seed in part.seeds]
    for name in ("sources", "views"):
        joined = torch.cat([getattr(part, name) for part in parts])
        assert torch.equal(getattr(whole, name), joined)
    assert torch.equal(whole.noise(5), torch.cat([part.noise(5) for part in parts]))


def test_numbers_do_not_depend_on_how_many_views_there_are(bank):
    found, alone = plan(bank, 1, 4), draw_images(7, "bar", range(4, 8), 8)
    assert found.seeds == alone.seeds
    assert torch.equal(found.noise(5), alone.noise(5))


def test_another_seed_or_class_gives_other_numbers_and_an_empty_class_is_an_error(bank):
    assert plan(bank, 0, 4, seed=8).seeds != plan(bank, 0, 4).seeds
    other = plan(bank, 0, 4, label=2)
    assert other.seeds != plan(bank, 0, 4).seeds
    assert set(other.sources.tolist()) == {1, 3}
    with pytest.raises(NotFoundError, match="no image of class"):
        plan(bank, 0, 4, label=3)
