"""Help texts as a user gets them: the real program, not in the process of the tests."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import typer

HEAVY = ("torch", "torchvision", "timm", "numpy", "matplotlib", "PIL", "scipy", "accelerate")
LONGEST_HELP = 50  # lines at 100 columns
MEMORY_MIB = 120  # peak; torch alone takes several times as much

# Runs a program with each list of arguments in turn; after each it shows a 0 byte, and notes the
# exit code, what has been imported by then, and the peak memory. (Not ru_maxrss: a child inherits
# that of the test's own process.)
PROGRAM = """
import importlib, json, sys
from pathlib import Path
program, heavy, lines = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
main = importlib.import_module(f"{program}.cli.main").main
status, ran = Path("/proc/self/status"), []
for words in lines:
    sys.argv, code = [program, *words], 0
    try:
        main()
    except SystemExit as end:
        code = end.code or 0
    print("\\0", end="")
    peak = status.read_text().split("VmHWM:")[1].split()[0] if status.exists() else "0"
    found = [name for name in heavy if name in sys.modules]
    ran.append({"code": code, "imported": found, "peak_mib": int(peak) >> 10})
print(json.dumps(ran), file=sys.stderr)
"""


class Ran(NamedTuple):
    """What a process had done when a command line ended.

    Attributes:
        stdout: what this command line showed.
        code: its exit code.
        imported: modules of :data:`HEAVY` that had been imported by then.
        peak_mib: peak memory until then; 0 where the system does not say it.
    """

    stdout: str
    code: int
    imported: list[str]
    peak_mib: int


def run_program(program: str, *lines: list[str]) -> list[Ran]:
    """Run ``tgn`` or ``classify`` with each of some command lines, in one new process."""
    command = [sys.executable, "-c", PROGRAM, program, json.dumps(HEAVY), json.dumps(lines)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=_environment())
    facts: list[dict[str, Any]] = json.loads(done.stderr.splitlines()[-1])
    *shown, rest = done.stdout.split("\0")
    assert rest == ""
    return [Ran(text, **one) for text, one in zip(shown, facts, strict=True)]


def commands_of(app: typer.Typer) -> Iterator[list[str]]:
    """Yield the words of the program itself (none), of every verb, and of every group."""
    yield from _below([], typer.main.get_command(app))


def verbs_with_settings(app: typer.Typer) -> Iterator[list[str]]:
    """Yield the words of every verb that has ``--help-settings``."""
    for words in commands_of(app):
        command: Any = typer.main.get_command(app)
        for word in words:
            command = command.commands[word]
        if any("--help-settings" in one.opts for one in command.params):
            yield words


def help_of_all(program: str, app: typer.Typer) -> dict[str, Ran]:
    """Show the help of every command in one process; return what each showed, by its words.

    A module or memory that a help needs is seen at the first that needs it, and at all behind it.
    """
    commands = list(commands_of(app))
    ran = run_program(program, *([*words, "-h"] for words in commands))
    return {" ".join(words): one for words, one in zip(commands, ran, strict=True)}


def assert_help_is_light_and_short(ran: Ran) -> None:
    """Check what holds for the help of every command."""
    assert ran.code == 0
    assert "Usage:" in ran.stdout
    assert ran.imported == []
    assert ran.peak_mib < MEMORY_MIB
    assert len(ran.stdout.splitlines()) <= LONGEST_HELP
    if "--help-settings" in ran.stdout:
        assert ran.stdout.strip().splitlines()[-1].strip().startswith("--help-settings lists")


def _below(words: list[str], command: Any) -> Iterator[list[str]]:
    yield words
    for name, inner in getattr(command, "commands", {}).items():
        yield from _below([*words, name], inner)


def _environment() -> dict[str, str]:
    return {**os.environ, "COLUMNS": "100", "TERMINAL_WIDTH": "100"}
