"""What a training cost: measured, added up over interruptions, shown beside its accuracy."""

import subprocess
import sys

import pytest

from classify.comparison.compare import ComparisonPlan, compare
from classify.comparison.costs import COST, Cost, read_cost, recorded_cost
from classify.training.settings import TrainSettings
from tgn.runtime.files import write_json
from tgn.runtime.progress import Silent

ALLOCATE = """
import torch
from tgn.runtime.memory import peak_mib, restart_peak

torch.ones(256 << 20, dtype=torch.uint8)
restart_peak()
before = peak_mib()
torch.ones(128 << 20, dtype=torch.uint8)
print(before, peak_mib())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no /proc")
def test_the_peak_is_that_since_the_last_restart():
    done = subprocess.run(  # of its own: here freed memory would be used again
        [sys.executable, "-c", ALLOCATE], capture_output=True, text=True, check=True
    )
    before, after = map(int, done.stdout.split())
    assert 120 <= after - before <= 200


def test_time_adds_up_over_interruptions_and_a_new_training_begins_at_zero(tmp_path):
    write_json(tmp_path / COST, Cost(100.0, 10**6)._asdict())
    with pytest.raises(KeyboardInterrupt), recorded_cost(tmp_path, goes_on=True):
        raise KeyboardInterrupt
    cost = read_cost(tmp_path)
    assert cost is not None
    assert 100 < cost.seconds < 110
    assert cost.peak_mib == 10**6
    with recorded_cost(tmp_path, goes_on=False):
        pass
    cost = read_cost(tmp_path)
    assert cost is not None
    assert cost.seconds < 10


def test_a_group_without_classes_is_no_column_and_costs_stand_in_the_table(fake_run):
    settings = TrainSettings(
        arch="tiny", steps=2, batch_size=16, size=16, device="cpu", precision="float32"
    )
    plan = ComparisonPlan(("ce", "balanced"), 1, fake_run.path / "generated")
    table = compare(fake_run, plan, settings, Silent())
    metrics = set(table["recipes"]["ce"])
    assert {"balanced", "head", "tail", "macro_f1"} <= metrics
    counts = [row["train"] for row in table["per_class"]["ce"]]
    assert ("many" in metrics) == any(count > 100 for count in counts)
    assert ("few" in metrics) == any(count < 20 for count in counts)
    assert all(table["costs"][name]["seconds"] > 0 for name in ("ce", "balanced"))
