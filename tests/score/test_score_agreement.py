import pytest
import torch

from tgn.score.agreement import agreement


def test_known_value():
    labels = torch.tensor([3, 3, 3, 3, 5, 5])
    found = agreement(torch.tensor([3, 3, 3, 5, 5, 1]), labels)
    assert found.overall == pytest.approx(4 / 6)
    assert found.per_class == {3: 0.75, 5: 0.5}


def test_order_does_not_matter():
    draw = torch.Generator().manual_seed(0)
    predictions, labels = torch.randint(4, (2, 50), generator=draw)
    order = torch.randperm(50, generator=draw)
    assert agreement(predictions, labels) == agreement(predictions[order], labels[order])


def test_wrong_input():
    with pytest.raises(ValueError, match="both"):
        agreement(torch.zeros(3), torch.zeros(4))
    with pytest.raises(ValueError, match="no predictions"):
        agreement(torch.zeros(0), torch.zeros(0))
