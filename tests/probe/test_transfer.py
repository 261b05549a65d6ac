"""Rows that head classes lend to rare ones, by hand-worked numbers."""

import pytest
import torch

from tgn.probe.fit import GeneratedViews, RealViews, fit_probe
from tgn.probe.transfer import Transfer, joined, transferred
from tgn.runtime.errors import DataError

# Two networks, two views; the second network has ten times the features of the first. Class 2 is
# rare; of the head classes only class 0 has two images.
LABELS = torch.tensor([0, 0, 1, 2])
VIEW = torch.tensor([[1.0, 5], [1, 2], [-5, 1], [2, 4]])
OTHER = VIEW + torch.tensor([[0.0, 0], [0, 1], [100, 0], [0, 0]])
FIRST = torch.stack([VIEW, OTHER], dim=1)
REAL = RealViews([FIRST, 10 * FIRST], LABELS)


def test_a_row_is_the_rare_image_and_the_scaled_difference_of_one_pair_in_every_view():
    found = transferred(REAL, 2, Transfer(rows=6, scale=0.5, share=0.25, seed=3))
    assert found.labels.tolist() == [2] * 6
    assert found.share == 0.25
    # the only pair is the images 0 and 1: (0, 3) in view 0, (0, 2) in view 1, either way round
    plus = torch.tensor([[2.0, 5.5], [2, 5]])
    minus = torch.tensor([[2.0, 2.5], [2, 3]])
    signs = {bool(torch.equal(row, plus)) for row in found.tables[0]}
    assert signs == {True, False}
    assert all(torch.equal(row, plus) or torch.equal(row, minus) for row in found.tables[0])
    torch.testing.assert_close(found.tables[1], 10 * found.tables[0])


def test_another_seed_draws_other_pairs_and_the_same_seed_the_same():
    rows = [transferred(REAL, 2, Transfer(16, 1.0, 0.25, seed)).tables[0] for seed in (0, 0, 1)]
    assert torch.equal(rows[0], rows[1])
    assert not torch.equal(rows[0], rows[2])


@pytest.mark.parametrize(
    ("labels", "num_head"), [([0, 0, 1, 2], 0), ([0, 1, 2, 2], 2), ([0, 0, 1, 1], 2)]
)
def test_nothing_to_transfer_from_or_to_is_refused(labels, num_head):
    with pytest.raises(DataError, match=f"transfer got {num_head} head classes"):
        transferred(RealViews([FIRST], torch.tensor(labels)), num_head, Transfer(1, 1.0, 0.25, 0))


def test_generated_and_transferred_rows_are_joined():
    one = GeneratedViews([FIRST], LABELS, 0.25)
    both = joined([one, GeneratedViews([2 * FIRST[:1]], LABELS[3:], 0.25)])
    assert torch.equal(both.tables[0], torch.cat([FIRST, 2 * FIRST[:1]]))
    assert both.labels.tolist() == [0, 0, 1, 2, 2]
    assert both.share == 0.25
    assert joined([]) is None


def test_a_rare_class_learns_the_direction_in_which_a_similar_class_varies():
    """Class 2 of one image differs from 0 along one axis; both vary along another."""
    rng = torch.Generator().manual_seed(0)

    def images(count, centre):
        noise = torch.tensor([0.1, 3.0, 0.1, 0.1]) * torch.randn(count, 4, generator=rng)
        return (torch.tensor(centre) + noise)[:, None]

    heads = [images(40, [0.0, 0, 0, 4]), images(40, [4.0, 0, 4, 0])]
    rare = torch.tensor([[[0.5, 3.0, 0, 4]]])
    table = torch.cat([*heads, rare])
    labels = torch.tensor([0] * 40 + [1] * 40 + [2])
    test = images(200, [0.5, 0, 0, 4])
    real = RealViews([table], labels)
    added = transferred(real, 2, Transfer(rows=40, scale=1.0, share=0.5, seed=0))
    hits = [
        (fit_probe(real, [(4,)], 3, "softmax", 1, given).scores([test]).argmax(1) == 2)
        for given in (None, added)
    ]
    before, after = (float(each.float().mean()) for each in hits)
    assert after > before + 0.1
