"""The rule of the advice, and the intervals and groups it is shown with."""

import pytest
import torch

from tgn.assess.accuracy import group_interval, top_confusions
from tgn.assess.advice import Evidence, sentence, verdict
from tgn.assess.settings import AssessSettings

SETTINGS = AssessSettings(worthwhile=0.03, relabel=0.03)


def evidence(**changes):
    values = {
        "doubtful_share": 0.0,
        "gain": 0.0,
        "low": 0.0,
        "high": 0.02,
        "balance_gain": 0.0,
        **changes,
    }
    return Evidence(**values)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (evidence(), "stop"),
        (evidence(gain=0.05, low=0.01, high=0.1), "collect"),
        (evidence(gain=0.05, low=0.0, high=0.1), "stop"),  # the interval reaches 0
        (evidence(gain=0.029, low=0.01, high=0.1), "stop"),
        (evidence(balance_gain=0.1), "balance"),
        (evidence(gain=0.05, low=0.01, high=0.1, balance_gain=0.1), "collect"),
        (evidence(gain=0.05, low=0.01, high=0.1, doubtful_share=0.05), "relabel"),
    ],
)
def test_the_first_rule_that_holds_decides(given, expected):
    assert verdict(given, SETTINGS) == expected


def test_the_sentence_has_the_numbers_it_rests_on():
    given = evidence(gain=0.081, low=0.04, high=0.125, balance_gain=0.2, can_gain=("A", "B"))
    text = sentence(given, SETTINGS)
    assert text.startswith("Collect")
    assert "+8.1 points (+4.0 to +12.5)" in text
    assert "A, B" in text
    assert "+20.0 points" in text
    assert "2 test images are copies" in sentence(evidence(leaks=2), SETTINGS)
    assert " 1 test image is a copy of training images" in sentence(evidence(leaks=1), SETTINGS)
    assert sentence(evidence(doubtful_share=0.041), SETTINGS).startswith("Relabel first: 4.1%")


@pytest.mark.parametrize(
    ("low", "high", "is_open"),
    [(0.01, 0.05, True), (0.031, 0.05, False), (0.0, 0.029, False), (-0.01, 0.031, True)],
)
def test_the_sentence_says_so_where_the_interval_holds_the_threshold(low, high, is_open):
    for given in (
        evidence(gain=(low + high) / 2, low=low, high=high),
        evidence(gain=(low + high) / 2, low=low, high=high, doubtful_share=0.1),
    ):
        text = sentence(given, SETTINGS)
        assert ("The limit of 3 points is within the interval" in text) == is_open
        assert ("either answer may be right" in text) == is_open


def test_an_interval_is_of_the_class_mean_by_hand():
    confusion = torch.tensor([[8, 2, 0], [0, 0, 0], [1, 0, 1]])
    found = group_interval(confusion, [0, 1, 2])
    shares, counts = (9 / 12, 2 / 4), (12, 4)  # one hit and one miss more
    error = sum(s * (1 - s) / n for s, n in zip(shares, counts, strict=True)) ** 0.5 / 2
    assert found["accuracy"] == pytest.approx(0.65)  # the class without images does not count
    assert found["high"] - found["accuracy"] == pytest.approx(1.96 * error)
    assert group_interval(confusion, [1])["accuracy"] is None
    assert group_interval(confusion, [])["accuracy"] is None


def test_confusions_come_with_the_largest_share_first():
    labels = torch.tensor([0] * 10 + [1] * 4)
    predicted = torch.tensor([0] * 7 + [1] * 3 + [1, 1, 2, 2])
    found = top_confusions(torch.eye(3)[predicted], labels)
    assert [(one["label"], one["taken_for"], one["images"]) for one in found] == [
        (1, 2, 2),
        (0, 1, 3),
    ]
    assert found[0]["share"] == pytest.approx(0.5)
