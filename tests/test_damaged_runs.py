"""A file of a run is damaged on the disk: every verb notices, or its results are the same.

Opt-in: pytest -m fuzz. TGN_FLIPS says how many bits of each file (4).
"""

import json
import os
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from test_broken_inputs import (
    CONTENTS,
    NETS,
    OF_A_RUN,
    PROGRAMS,
    Verb,
    given,
    made,
    problem,
    run,
    traceback_of,
    words_of,
)

__all__ = ["made", "run"]

FLIPS = int(os.environ.get("TGN_FLIPS", "4"))
OLD = 1_000_000_000  # seconds: an access after it is seen
TIMED = re.compile(r'^\s*"(seconds|peak_mib|checksum)".*$', re.MULTILINE)
COSTS = re.compile(r"[\d.,]+ (s|min|MiB|GiB)\b")
SAID = re.compile("damaged|not what was written|was filtered")
VARIES = (".lock", ".yaml", "tensorboard", "cost.json", "assess.html", "report.html")
LEFT_OUT = ("tgn import", "classify import")  # they read files of others
VERBS = [verb for verb in OF_A_RUN if verb.name not in LEFT_OUT]
SMALL = [word for key, value in NETS.items() for word in ("--set", f"{key}={value}")]
SMALL += ["--recipes", "ce", "--seeds", "1", "--jobs", "1"]
FLOAT32 = ("--set", "precision=float32")
GIVEN = {"tgn generate": {"n": "2"}}


class Outcome(NamedTuple):
    """How a verb ended, and what it left on the disk, without times."""

    done: Any
    files: dict[str, bytes]


def results(place: Path, but: Path | None = None) -> dict[str, bytes]:
    """Return the content of all files of a run and what was written beside it."""
    found = {}
    for folder in (place / "runs", place / "made"):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path != but and not any(word in str(path) for word in VARIES):
                found[str(path.relative_to(place))] = _without_times(path)
    return found


def _without_times(path: Path) -> bytes:
    if path.suffix in (".csv", ".md"):
        return COSTS.sub("", path.read_text()).encode()
    if path.suffix != ".json":
        return path.read_bytes()
    return TIMED.sub("", json.dumps(json.loads(path.read_bytes()), indent=1)).encode()


def copied(whole: Path, place: Path) -> None:
    """Make a folder a fresh copy, of which an access is seen."""
    place.mkdir(exist_ok=True)  # it stays: this process works in it
    for path in place.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(whole, place, dirs_exist_ok=True)
    for path in (place / "runs").rglob("*"):
        os.utime(path, (OLD, path.stat().st_mtime))


def call(*words: str) -> None:
    """Run a command that must end well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", list(words))
        with pytest.raises(SystemExit) as end:
            PROGRAMS[words[0]][1]()
        assert not end.value.code


@pytest.fixture(scope="module")
def whole(made, tmp_path_factory) -> Path:
    """Return a folder with a run in which every verb has left its files."""
    place = tmp_path_factory.mktemp("whole")
    copied(made, place)
    shutil.rmtree(place / "runs" / "detect")
    shutil.rmtree(place / "runs" / "fake" / "generated")
    cpu = ("--device", "cpu", "--run", "fake")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("TGN_RUNS", str(place / "runs"))
        call("tgn", "generate", "--class", "all", "--n", "2", *FLOAT32, *cpu)
        for verb in ("score", "filter", "assess"):
            call("tgn", verb, *cpu)
        call("classify", "compare", *SMALL, *cpu)
        call("classify", "probe", "--name", "probe", *cpu)
        call("tgn", "report", "--run", "fake")
    return place


@pytest.mark.fuzz
@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_damaged_files(verb: Verb, whole, run, tmp_path, monkeypatch):
    values = {**given(verb, whole), **GIVEN.get(verb.name, {})}
    attack(words_of(verb, values), whole, tmp_path / "place", run, monkeypatch)


def test_a_flipped_bit_in_what_images_are_generated_from(made_trained, run, tmp_path, monkeypatch):
    words = ["tgn", "generate", "--class", "bar", "--n", "2", "--device", "cpu", *FLOAT32]
    attack(words, made_trained, tmp_path / "place", run, monkeypatch, flips=1)


def attack(words, whole, place, run, monkeypatch, flips=FLIPS) -> None:
    """Damage each file of a run that a command reads, one at a time; each time run it."""
    copied(whole, place)
    monkeypatch.chdir(place)
    monkeypatch.setenv("TGN_RUNS", str(place / "runs"))
    before = {path for path in (place / "runs").rglob("*") if path.is_file()}
    done = run(*words)
    read = sorted(path for path in before if path.exists() and path.stat().st_atime > OLD + 1)
    assert done.code == 0, done.stderr
    assert read  # else this file system does not say when a file was read
    calm, wrong = Outcome(done, results(place)), []
    for path in read:
        for how, damaged in attacks(whole / path.relative_to(place), flips):
            copied(whole, place)
            path.write_bytes(damaged)
            if found := difference(run, words, calm, path):
                wrong.append(f"{path.relative_to(place)}, {how}: {found}")
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


def attacks(path: Path, flips: int) -> Iterator[tuple[str, bytes]]:
    """Yield damaged contents of a file: flipped bits, the same in every run, then other kinds."""
    data = path.read_bytes()
    if path.name == ".lock" or not data:
        return
    for bit in random.Random(path.name).sample(range(8 * len(data)), flips):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        yield f"bit {bit}", bytes(flipped)
    if flips > 1:
        for kind, damaged in CONTENTS.items():
            yield kind, damaged(data)


def difference(run: Any, words: list[str], calm: Outcome, path: Path) -> str:
    """Return what is wrong with a verb that meets a flipped bit, or ""."""
    try:
        done = run(*words)
    except Exception as error:
        return traceback_of(error)
    if done.code != 0:
        return problem(done, path.name, str(path.parent))
    if SAID.search(done.stdout + done.stderr):
        return ""  # and gone on
    place = Path.cwd()
    files = results(place, but=path)
    ours = str(path.relative_to(place))
    changed = [k for k, v in calm.files.items() if k != ours and files.get(k) != v]
    said, expected = (COSTS.sub("", text) for text in (done.stdout, calm.done.stdout))
    changed += [] if said == expected else ["stdout"]
    return f"other results: {', '.join(changed[:4])}" if changed else ""
