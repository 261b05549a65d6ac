from pathlib import Path

import pytest
from pydantic import Field

from tgn.runtime.config import Settings
from tgn.runtime.errors import NotFoundError, UserError


class Example(Settings):
    steps: int = Field(10, ge=1, description="how many")
    name: str | None = None


def test_flags_win_over_set_over_file_over_default(tmp_path: Path):
    file = tmp_path / "a.yaml"
    file.write_text("steps: 20\nname: file\n")
    assert Example.resolve(file).steps == 20
    resolved = Example.resolve(file, ["steps=30", "name=set"], steps=40, name=None)
    assert (resolved.steps, resolved.name) == (40, "set")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["stepz=1"], "unknown setting 'stepz'; valid: steps, name"),
        (["steps=0"], "setting steps: got 0"),
        (["steps"], "expected key=value"),
    ],
)
def test_wrong_settings_are_named(overrides, message):
    with pytest.raises(UserError, match=message):
        Example.resolve(None, overrides)


def test_wrong_files_are_named(tmp_path: Path):
    with pytest.raises(NotFoundError, match="no settings file"):
        Example.resolve(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(UserError, match="holds a list"):
        Example.resolve(tmp_path / "list.yaml")
    (tmp_path / "bad.yaml").write_text("a: [1\n")
    with pytest.raises(UserError, match="is not YAML"):
        Example.resolve(tmp_path / "bad.yaml")


def test_explained_settings_read_back(tmp_path: Path):
    (tmp_path / "a.yaml").write_text(Example(steps=7).explained())
    assert Example.resolve(tmp_path / "a.yaml") == Example(steps=7)
    assert "# how many" in Example().explained()
