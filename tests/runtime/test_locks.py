"""One writer of a folder at a time, and none while others read it."""

import pytest
from tests_support import other_process

from tgn.runtime.errors import UserError
from tgn.runtime.locks import LOCK, exclusive_writer, kept_unchanged


def test_a_folder_has_one_writer_and_readers_wait_for_it(tmp_path):
    with other_process("exclusive_writer", tmp_path):
        with pytest.raises(UserError, match="another process uses"), exclusive_writer(tmp_path):
            pass
        with pytest.raises(UserError, match="another process is writing"), kept_unchanged(tmp_path):
            pass
    with exclusive_writer(tmp_path):  # a killed process holds nothing
        pass


def test_many_may_read_and_none_then_writes(tmp_path):
    with exclusive_writer(tmp_path):
        pass
    with other_process("kept_unchanged", tmp_path):
        with kept_unchanged(tmp_path):
            pass
        with pytest.raises(UserError, match="another process uses"), exclusive_writer(tmp_path):
            pass


def test_reading_leaves_no_file_in_a_folder_of_somebody_else(tmp_path):
    with kept_unchanged(tmp_path, tmp_path / "missing", None):
        assert list(tmp_path.iterdir()) == []


def test_a_writer_may_be_within_a_writer(tmp_path):
    with exclusive_writer(tmp_path), exclusive_writer(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]
