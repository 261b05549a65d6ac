import math

import pytest
import torch
from torch.nn import functional as F

from tgn.metrics.clip_mmd import clip_mmd
from tgn.metrics.vendi_score import vendi_score


def features(rows=40, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 8, generator=rng, dtype=torch.float64)


def test_vendi_counts_different_images():
    assert vendi_score(torch.ones(5, 8)) == pytest.approx(1)
    assert vendi_score(torch.eye(6)) == pytest.approx(6)
    assert vendi_score(torch.eye(3).repeat(4, 1)) == pytest.approx(3)


def test_vendi_of_two_images_in_closed_form():
    cosine = 0.6
    table = torch.tensor([[1.0, 0.0], [cosine, math.sqrt(1 - cosine**2)]])
    shares = ((1 + cosine) / 2, (1 - cosine) / 2)
    expected = math.exp(-sum(p * math.log(p) for p in shares))
    assert vendi_score(table) == pytest.approx(expected)


def test_vendi_is_the_same_by_either_gram_matrix():
    table = features(8)
    wide = torch.cat([table, torch.zeros(8, 30, dtype=torch.float64)], dim=1)
    assert vendi_score(wide) == pytest.approx(vendi_score(table))


def test_a_collapsed_set_has_a_lower_vendi_score():
    table = features()
    assert vendi_score(table[:1] + 0.1 * table) < 0.5 * vendi_score(table)


@pytest.mark.parametrize("chunk_size", [7, 1000])
def test_cmmd_equals_its_definition(chunk_size):
    x, y = features(), features(30, seed=1) + 0.5

    def kernel(a, b):
        return ((2 * a @ b.T - 2) / 200).exp().mean()  # |a - b|^2 = 2 - 2 ab for unit rows

    a, b = F.normalize(x, dim=1), F.normalize(y, dim=1)
    expected = 1000 * float(kernel(a, a) + kernel(b, b) - 2 * kernel(a, b))
    assert clip_mmd(x, y, chunk_size) == pytest.approx(expected, rel=1e-6)


def test_cmmd_properties():
    x = features()
    assert clip_mmd(x, x) == pytest.approx(0, abs=1e-9)
    assert clip_mmd(x, 3 * x) == pytest.approx(0, abs=1e-9)
    far = torch.ones(10, 8)
    assert clip_mmd(far, -far) == pytest.approx(2000 * (1 - math.exp(-0.02)))
    assert clip_mmd(x, x + 0.5) < clip_mmd(x, x + 2)


def test_too_few_rows():
    with pytest.raises(ValueError, match="2 rows"):
        clip_mmd(features(1), features())
    with pytest.raises(ValueError, match="undefined"):
        vendi_score(torch.zeros(0, 4))
