"""What feature mimicking of classifiers and of detectors shares, against hand-worked numbers."""

import pytest
import torch

from classify.losses.hashing import linear_warmup, with_length_of


@pytest.mark.parametrize(
    ("progress", "warmup", "expected"),
    [(0.0, 0.1, 0.0), (0.05, 0.1, 3.0), (0.1, 0.1, 6.0), (0.7, 0.1, 6.0), (0.0, 0.0, 6.0)],
)
def test_a_weight_rises_linearly(progress, warmup, expected):
    assert linear_warmup(6.0, progress, warmup) == pytest.approx(expected)


def test_a_student_gets_its_teachers_length_and_keeps_its_direction():
    student = torch.tensor([[3.0, 4.0], [0.0, 1.0]], dtype=torch.bfloat16)
    scaled = with_length_of(student, torch.tensor([[0.0, 10.0], [6.0, 8.0]]))
    assert scaled.dtype == torch.float32
    torch.testing.assert_close(scaled, torch.tensor([[6.0, 8.0], [0.0, 10.0]]))
