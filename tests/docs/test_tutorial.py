"""The tutorial runs as it stands: its bash and python blocks, in order, in one empty folder."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests_support import Command, in_process

from classify.cli.main import main as classify
from tgn.cli.main import main as tgn

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAMS = {"tgn": tgn, "classify": classify}


def blocks(page: str) -> Iterator[tuple[str, str]]:
    """Yield (language, text) of every block that runs."""
    for found in BLOCK.finditer((ROOT / "docs" / page).read_text(encoding="utf-8")):
        yield found[1], found[2]


def command_lines(text: str) -> Iterator[list[str]]:
    """Yield the words of every command in a bash block; a backslash continues a line."""
    for line in text.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> dict[str, Command]:
    return {name: in_process(main, monkeypatch, capsys) for name, main in PROGRAMS.items()}


@pytest.mark.usefixtures("charts")
def test_the_tutorial_runs_as_it_stands(tmp_path, monkeypatch, programs):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TGN_RUNS", raising=False)
    names: dict[str, Any] = {}
    for language, text in blocks("tutorial.md"):
        if language == "python":
            exec(compile(text, "docs/tutorial.md", "exec"), names)
            continue
        for program, *arguments in command_lines(text):
            done = programs[program](*arguments)
            assert done.code == 0, f"{program} {' '.join(arguments)}: {done.stderr}"
    assert (tmp_path / "checkpoints" / "tutorial" / "report.html").is_file()
    assert len(names["images"]) == 4
    assert len(names["probabilities"]) == 4
