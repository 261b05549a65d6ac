"""A teacher for students to learn from."""

import pytest
from classify_support import train_small

from tgn.data.run_layout import CHECKPOINT


@pytest.fixture
def teacher(fake_run):
    train_small(fake_run, "teacher")
    return fake_run.classifiers / "teacher" / CHECKPOINT
