"""YAML of users: words stay words, and a file can be neither ambiguous nor a bomb."""

import resource

import pytest
import yaml

from tgn.runtime.errors import DataError
from tgn.runtime.text_files import read_yaml
from tgn.runtime.yaml_text import MOST_CHARACTERS, format_yaml, parse_yaml

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 10)
)
WRONG = {
    "a: 1\nb: 2\na: 3": "key 'a' twice",
    "a: {b: 1, b: 1}": "key 'b' twice",
    "a: &x [*x]": "an alias within what it stands for",
    LAUGHS: "more than 200000 values",
    "[" * 5000: "more than 24 collections",
    "{a: " * 5000: "more than 24 collections",
    "? [1]\n: 2": "a key is no word",
    "!!python/object:os.system {}": "constructor for the tag",
    "a: !!binary aGk=": "constructor for the tag",
    "a: !!int twelve": "is no int",
    "a: !!float 1:20": "is no float",
    "a: " + "1" * 5000: "is no int",
    "a: \x00": "special characters are not allowed",
    "#" * (MOST_CHARACTERS + 1): "expected at most",
}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("010", 10), ("0o17", 15), ("0x1f", 31), ("12:30:00", "12:30:00"), ("1_000", "1_000"),
        ("on", "on"), ("yes", "yes"), ("No", "No"), ("true", True), ("False", False),
        ("2024-01-01", "2024-01-01"), ("1e-4", 1e-4), ("1e3", 1000.0), ("-.5", -0.5), ("~", None),
        (".inf", float("inf")), ("<<", "<<"), ("'010'", "010"), ("!!str 010", "010"),
    ],
)  # fmt: skip
def test_a_word_is_what_yaml_1_2_says(word, value):
    found = parse_yaml(f"a: {word}")["a"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(("text", "reason"), WRONG.items(), ids=[t[:20] for t in WRONG])
def test_what_is_ambiguous_or_a_bomb_is_refused(text, reason, tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text(text, encoding="utf-8")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError) as caught:
        read_yaml(file)
    assert str(file) in str(caught.value)
    assert reason in " ".join(str(caught.value).split())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_aliases_in_measure_are_read():
    assert parse_yaml("a: &x [1, 2]\nb: *x\nc: [*x, *x]") == {
        "a": [1, 2],
        "b": [1, 2],
        "c": [[1, 2], [1, 2]],
    }


def test_an_error_says_the_encoding(tmp_path):
    file = tmp_path / "latin.yaml"
    file.write_bytes("größe: [1\n".encode("latin-1"))
    with pytest.raises(DataError, match="read as Latin-1"):
        read_yaml(file)
    file.write_bytes("größe: 1\n".encode("utf-16"))
    assert read_yaml(file) == {"größe": 1}


def test_what_we_write_is_read_alike_by_yaml_1_1_and_1_2():
    words = ["on", "010", "1e-4", "0o17", "12:30", "2024-01-01", "~", "", "<<", "[/red]", "\x1b[m"]
    value = {"words": words, "numbers": [1e-4, 1, -0.5, 1e300], "others": [None, True, [], {}]}
    value["again"] = value["words"]
    text = format_yaml(value)
    assert parse_yaml(text) == value
    assert yaml.safe_load(text) == value
    assert "*" not in text  # no aliases
