from pathlib import Path

import pytest
from pydantic import Field, model_validator

from tgn.runtime.config import Settings, given_values
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


class _Group(Settings):
    renamed = {"strength": "weight"}

    weight: float = 1.0


class _Renamed(Settings):
    renamed = {"doubt": "conditioning_noise", "old_group": "group"}

    conditioning_noise: float = 0.2
    group: _Group = _Group()


@pytest.mark.parametrize(
    ("given", "new"),
    [
        ("doubt=0.1", "'doubt' is now called 'conditioning_noise'"),
        ("group.strength=2", "'group.strength' is now called 'group.weight'"),
        ("old_group.weight=2", "'old_group' is now called 'group'"),
    ],
)
def test_a_former_name_is_answered_with_the_new_one(given: str, new: str):
    with pytest.raises(UserError, match=new) as caught:
        _Renamed.resolve(None, [given])
    assert "\n" not in str(caught.value)


def test_a_former_name_in_a_config_file_is_answered_too(tmp_path: Path):
    file = tmp_path / "settings.yaml"
    file.write_text("doubt: 0.1\n", encoding="utf-8")
    with pytest.raises(UserError, match="now called 'conditioning_noise'"):
        _Renamed.resolve(file)


def test_recorded_settings_are_read_under_their_new_names():
    recorded = {"doubt": 0.1, "old_group": {"strength": 2.0}}
    assert _Renamed.with_new_names(recorded) == {
        "conditioning_noise": 0.1,
        "group": {"weight": 2.0},
    }


class _Pair(Settings):
    low: int = 0
    high: int = 9

    @model_validator(mode="after")
    def _ordered(self):
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


class _Grouped(Settings):
    pair: _Pair = _Pair()
    name: str | None = None


def test_layers_are_joined_within_groups_and_checked_together_alone():
    beneath = {"pair": {"low": 5, "high": 20}, "name": "below"}
    joined = _Grouped.joined(beneath, given_values(None, ["pair.low=12", "name=null"]))
    assert (joined.pair.low, joined.pair.high, joined.name) == (12, 20, None)
    assert joined.given == {"pair": {"low": 12, "high": 20}, "name": None}
    with pytest.raises(UserError, match="low is above high"):
        _Grouped.joined(beneath, {"pair": {"high": 4}})
    assert beneath == {"pair": {"low": 5, "high": 20}, "name": "below"}


@pytest.mark.parametrize("text", ["a." * 5000 + "b=1", "=1", "x" * 10_000])
def test_a_key_without_an_end_is_one_short_line(text):
    with pytest.raises(UserError, match="expected key=value") as caught:
        Example.resolve(None, [text])
    assert len(str(caught.value)) < 400
