"""Doubtful labels, outliers and duplicates on features where they were planted."""

import pytest
import torch

from tgn.assess.assess import _duplicates
from tgn.assess.doubts import doubtful_labels, outliers
from tgn.assess.duplicates import exact_duplicates, near_duplicates, near_threshold
from tgn.assess.features import AssessedImages, ImageTable

CLASSES, DIMENSION = 3, 16


def table(counts, seed=0, part="train"):
    rng = torch.Generator().manual_seed(seed)
    labels = torch.tensor([k for k, n in enumerate(counts) for _ in range(n)])
    centres = torch.eye(CLASSES, DIMENSION)[labels]
    features = centres + 0.1 * torch.randn(len(labels), DIMENSION, generator=rng)
    files = tuple(f"{part}/{i}.png" for i in range(len(labels)))
    return ImageTable(files, labels, torch.nn.functional.normalize(features, dim=1))


def by_nearest_centre(images):
    return torch.softmax(8 * images.features[:, :CLASSES], dim=1)


def test_planted_wrong_labels_are_found_with_the_class_they_show():
    images = table([30, 20, 8])
    labels = images.labels.clone()
    labels[3], labels[55] = 2, 0  # of classes 0 and 2
    wrong = ImageTable(images.files, labels, images.features)
    found = doubtful_labels(wrong, by_nearest_centre(wrong), 10)
    assert {(one.file, one.label, one.suggested) for one in found} == {
        ("train/3.png", 2, 0),
        ("train/55.png", 0, 2),
    }
    assert all(one.suggested_probability > one.probability for one in found)
    assert doubtful_labels(images, by_nearest_centre(images), 10) == []


def test_a_classifier_alone_does_not_make_a_label_doubtful():
    images = table([30, 20, 8])
    probabilities = by_nearest_centre(images)
    probabilities[3] = torch.tensor([0.0, 1.0, 0.0])
    assert doubtful_labels(images, probabilities, 10) == []


def test_the_only_image_of_a_class_is_not_judged():
    images = table([10, 10, 1])
    probabilities = torch.softmax(8 * torch.eye(CLASSES)[torch.zeros(21, dtype=torch.int64)], 1)
    assert "train/20.png" not in {one.file for one in doubtful_labels(images, probabilities, 5)}
    assert "train/20.png" not in {one.file for one in outliers(images)}


@pytest.mark.parametrize("row", [5, 55])  # of a large and of a small class
def test_a_planted_outlier_is_the_only_one(row):
    images = table([30, 20, 7])
    features = images.features.clone()
    features[row] = torch.nn.functional.normalize(-torch.ones(DIMENSION), dim=0)
    found = outliers(ImageTable(images.files, images.labels, features))
    assert [one.file for one in found] == [f"train/{row}.png"]
    assert found[0].distance > 2 * found[0].usual


def assessed(train, test, copies, **equal):
    """Return images whose files all differ, but for those said to equal another."""
    digests = {file: file for file in (*train.files, *test.files)}
    return AssessedImages(train, test, torch.tensor(copies), (), digests | equal)


def test_near_duplicates_are_pairs_nearer_than_altered_copies():
    train, test = table([10, 10, 10]), table([4, 4, 4], seed=1, part="test")
    features = test.features.clone()
    features[2] = torch.nn.functional.normalize(train.features[7] + 0.003, dim=0)
    images = assessed(train, ImageTable(test.files, test.labels, features), [0.02] * 10)
    threshold = near_threshold(images.copy_distances)
    assert threshold == pytest.approx(0.02)
    (pair,) = near_duplicates(images, threshold)
    assert (pair.first, pair.second) == ("train/7.png", "test/2.png")
    assert (pair.first_part, pair.second_part, pair.same_label) == ("train", "test", True)


def test_images_that_all_look_alike_are_no_duplicates():
    train, test = table([10, 10, 10]), table([4, 4, 4], seed=1, part="test")
    crowded = train.features.clone()
    noise = torch.randn(10, DIMENSION, generator=torch.Generator().manual_seed(2))
    crowded[:10] = torch.nn.functional.normalize(train.features[0] + 0.002 * noise, dim=1)
    images = assessed(ImageTable(train.files, train.labels, crowded), test, [0.05] * 10)
    assert near_duplicates(images, 0.05) == []


def test_equal_files_are_exact_duplicates_and_not_near_ones():
    train, test = table([4, 4, 4]), table([2, 2, 2], seed=1, part="test")
    features = train.features.clone()
    features[[1, 6]] = train.features[0]
    equal = dict.fromkeys(("train/1.png", "train/6.png"), "train/0.png")
    images = assessed(ImageTable(train.files, train.labels, features), test, [0.1] * 4, **equal)
    found = exact_duplicates(images)
    assert [(p.first, p.second, p.same_label) for p in found] == [
        ("train/0.png", "train/1.png", True),
        ("train/0.png", "train/6.png", False),
    ]
    assert near_duplicates(images, 0.01) == []


def test_a_label_that_the_fit_prefers_is_not_doubtful():
    images = table([30, 20, 8])
    labels = images.labels.clone()
    labels[3] = 2  # its neighbours are of class 0
    wrong = ImageTable(images.files, labels, images.features)
    probabilities = by_nearest_centre(wrong)
    probabilities[labels == 2] = torch.tensor([0.0, 0.0, 1.0])  # the mean is high
    probabilities[labels == 0] = torch.tensor([0.4, 0.3, 0.3])
    probabilities[3] = torch.tensor([0.45, 0.0, 0.55])  # only class 0 is confident
    assert doubtful_labels(wrong, probabilities, 10) == []
    probabilities[3] = torch.tensor([0.55, 0.0, 0.45])
    assert [one.file for one in doubtful_labels(wrong, probabilities, 10)] == ["train/3.png"]


def test_a_class_of_one_image_is_not_suggested():
    images = table([10, 10, 1])
    features = images.features.clone()
    features[:3] = features[20]  # images of class 0 beside the only one of class 2
    probabilities = torch.full((21, CLASSES), 0.1)
    probabilities[torch.arange(21), images.labels] = 0.6
    probabilities[20] = torch.tensor([0.9, 0.1, 0.0])  # no fit without it knows its class
    probabilities[0] = torch.tensor([0.1, 0.0, 0.9])
    close = ImageTable(images.files, images.labels, features)
    assert doubtful_labels(close, probabilities, 1) == []


def test_a_test_image_that_is_an_exact_and_a_near_copy_counts_once():
    train, test = table([10, 10, 10]), table([4, 4, 4], seed=1, part="test")
    features = train.features.clone()
    features[1] = torch.nn.functional.normalize(features[0] + 0.003, dim=0)
    shown = test.features.clone()
    shown[2] = features[0]
    images = assessed(
        ImageTable(train.files, train.labels, features),
        ImageTable(test.files, test.labels, shown),
        [0.02] * 10,
        **{"test/2.png": "train/0.png"},
    )
    found = _duplicates(images)
    kinds = ("exact_duplicates", "near_duplicates")
    assert [found[kind]["test_images_known"] for kind in kinds] == [1, 1]
    assert found["test_images_known"] == 1
