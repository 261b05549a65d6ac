"""Which head classes are like a class, and the pairs of their images, by hand."""

import torch

from tgn.models.similar_classes import HeadPairs, class_cosines
from tgn.runtime.seeds import generator

LABELS = torch.tensor([0, 0, 0, 1, 1, 2, 3, 3, 4])


def test_cosines_are_of_class_means_less_the_mean_of_the_classes_that_have_rows():
    features = torch.tensor([[4.0, 1], [2, 1], [-3, 1], [0, 2], [0, 4], [0, -5]])
    labels = torch.tensor([0, 0, 1, 3, 3, 4])
    # means (3, 1), (-3, 1), (0, 3), (0, -5) of classes 0, 1, 3, 4; their mean is (0, 0)
    found = class_cosines(features, labels, 6)
    assert found.shape == (6, 6)
    own = [[1.0, -0.8, 10**-0.5], [-0.8, 1.0, 10**-0.5], [10**-0.5, 10**-0.5, 1.0]]
    used = torch.tensor([0, 1, 3])
    torch.testing.assert_close(found[used][:, used], torch.tensor(own))


def test_the_three_nearest_head_classes_with_two_images_are_taken():
    cosines = torch.zeros(6, 6)
    cosines[5] = torch.tensor([0.1, 0.3, 0.9, 0.2, 0.4, 1.0])
    labels = torch.tensor([0, 0, 1, 1, 2, 3, 3, 4, 4, 5])
    assert HeadPairs(cosines, labels, 5).classes_like(5) == [4, 1, 3]  # 2 has one image
    assert HeadPairs(cosines, labels, 2).classes_like(5) == [1, 0]
    assert not HeadPairs(cosines, labels, 0)
    assert not HeadPairs(cosines, torch.arange(6), 5)


def test_all_pairs_of_different_images_of_a_class_are_drawn_equally_often():
    pairs = HeadPairs(torch.eye(5), LABELS, 1)
    rng = generator("test")
    drawn = [pairs.draw(4, rng) for _ in range(1200)]
    assert {*drawn} == {(a, b) for a in range(3) for b in range(3) if a != b}
    assert all(150 < drawn.count(pair) < 250 for pair in {*drawn})


def test_every_similar_class_gives_pairs_of_its_own_images():
    pairs, rng = HeadPairs(torch.eye(5), LABELS, 4), generator("test")
    drawn = [pairs.draw(4, rng) for _ in range(100)]
    assert all(LABELS[a] == LABELS[b] for a, b in drawn)
    assert {int(LABELS[a]) for a, _ in drawn} == {0, 1, 3}
