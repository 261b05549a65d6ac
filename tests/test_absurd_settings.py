"""Absurd settings and hostile YAML meet every verb: one line that names them, before any work."""

import random
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_broken_inputs import PROGRAMS, VERBS, Verb, check, given, problem, traceback_of, words_of
from tests_support import Command, in_process

from tgn.runtime.config import Settings
from tgn.runtime.settings_table import setting_rows

ABSURD = (
    "1e12", "1e300", ".inf", "-.inf", ".nan", "-1e30", "[1, 2]", "{a: 1}", "x", "true", "1:30:00",
    "2024-01-01", "!!binary aGk=", "&a [*a]", "[" * 200, "'" + "9" * 5000 + "'", "\x1b[31m",
)  # fmt: skip
LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 10)
)
FILES = {
    "laughs": LAUGHS, "twice": "seed: 1\nseed: 2\n", "deep": "a: " + "[" * 3000, "list": "- 1\n",
    "tag": "seed: !!python/object:os.system {}\n", "unknown": "größe: 1\n", "nul": "seed: \0\n",
    "circle": "seed: &s {a: *s}\n",
}  # fmt: skip
SEED = 24
WITH_SETTINGS = [verb for verb in VERBS if "--set" in verb.options]


@pytest.fixture
def run(monkeypatch, capsys) -> Command:
    """Return what runs a command line; an error that is not put into words comes through."""
    programs = {name: in_process(main, monkeypatch, capsys) for name, (_, main) in PROGRAMS.items()}
    return lambda program, *words: programs[program](*words)


def settings_of(verb: Verb) -> Settings:
    """Return the settings that a verb takes by default."""
    defaults = {one.name: one.default for one in verb.command.params}
    cls: Any = type(verb.command).settings_class(defaults)
    return cls()


def numbers_of(verb: Verb) -> list[str]:
    """Return the names of the settings of a verb that are numbers, as --set takes them."""
    kinds = ("integer", "number", "list of integer", "list of number")
    return [row.name for row in setting_rows(settings_of(verb)) if row.values.startswith(kinds)]


def test_the_list_of_settings_speaks_of_numbers_and_text():
    kinds = {row.values for verb in WITH_SETTINGS for row in setting_rows(settings_of(verb))}
    assert "integer or null, ≥ 16, ≤ 8192" in kinds
    assert not [kind for kind in kinds if "annotated" in kind]


def attacks(verb: Verb, place: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield what an error must name, and the words of the option."""
    for name in numbers_of(verb):
        for value in ABSURD:
            if not (name.endswith("seed") and value == "1e12"):
                yield name, ["--set", f"{name}={value}"]
    for kind, text in FILES.items():
        path = place / f"{kind}.yaml"
        path.write_text(text, encoding="utf-8")
        yield path.name, ["--config", str(path)]
    latin = place / "latin.yaml"
    latin.write_bytes("größe: [1\n".encode("latin-1"))
    yield "Latin-1", ["--config", str(latin)]


def answers(verb: Verb, place: Path, run: Command, chosen: list[Any]) -> Iterator[str]:
    """Yield what is wrong with the answers of a verb."""
    for name, option in chosen:
        try:
            done = run(*words_of(verb, given(verb, place)), *option)
        except Exception as error:
            yield f"{option}: {traceback_of(error)}"
            continue
        if found := problem(done, name):
            yield f"{option}: {found}"


@pytest.mark.parametrize(
    "most", [3, pytest.param(None, marks=pytest.mark.fuzz)], ids=["some", "all"]
)
@pytest.mark.parametrize("verb", WITH_SETTINGS, ids=lambda verb: verb.name)
def test_every_verb(verb, most, fake_run, tmp_path, run):
    chosen = list(attacks(verb, tmp_path))
    if most is not None:
        chosen = random.Random(f"{SEED} {verb.name}").sample(chosen, most)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wrong = list(answers(verb, tmp_path, run, chosen))
    check("\n".join(wrong[:20]))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # KiB
