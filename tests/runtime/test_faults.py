"""Files that a kill, a full disk or a bad block leaves behind."""

import pytest
import torch
from tests_support import damage

from tgn.runtime.checkpoints import before, load_state, save_state
from tgn.runtime.errors import DamagedError
from tgn.runtime.files import append_text, read_json_lines


@pytest.mark.parametrize("how", ["cut short", "one bit"])
def test_a_damaged_state_is_noticed_and_the_one_before_is_whole(tmp_path, how):
    path = tmp_path / "state.pt"
    for step in (1, 2):
        save_state(path, {"step": step, "weights": torch.full((300,), float(step))})
    damage(path, how)
    with pytest.raises(DamagedError, match="not what was written"):
        load_state(path)
    assert load_state(before(path))["step"] == 1


def test_lines_after_a_line_cut_short_are_whole(tmp_path):
    path = tmp_path / "lines.jsonl"
    append_text(path, '{"a": 1}\n')
    with path.open("a") as file:
        file.write('{"a": ')
    append_text(path, '{"a": 2}\n')
    assert list(read_json_lines(path)) == [{"a": 1}, {"a": 2}]
