"""The determinism contract of sampling, written out once more."""

import pytest
import torch

from tgn.generation.sampling_plan import image_seed, plan_block
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


def plan(bank, block, size, seed=7):
    return plan_block(bank, 1, "bar", block, size=size, seed=seed)


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
    assert found.origins == list(zip(found.sources.tolist(), found.seeds, strict=True))


def test_the_size_of_blocks_does_not_matter(bank):
    whole, parts = plan(bank, 0, 6), [plan(bank, block, 2) for block in range(3)]
    assert whole.seeds == [seed for part in parts for seed in part.seeds]
    for name in ("sources", "views"):
        joined = torch.cat([getattr(part, name) for part in parts])
        assert torch.equal(getattr(whole, name), joined)
    assert torch.equal(whole.noise(5), torch.cat([part.noise(5) for part in parts]))


def test_another_seed_or_class_gives_other_numbers_and_an_empty_class_is_an_error(bank):
    assert plan(bank, 0, 4, seed=8).seeds != plan(bank, 0, 4).seeds
    other = plan_block(bank, 2, "cross", 0, size=4, seed=7)
    assert other.seeds != plan(bank, 0, 4).seeds
    assert set(other.sources.tolist()) == {1, 3}
    with pytest.raises(NotFoundError, match="no image of class"):
        plan_block(bank, 3, "disc", 0, size=4, seed=7)
