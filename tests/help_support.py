"""Help texts as a user gets them: the real program, in a process of its own."""

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

# Runs a program with each list of arguments in turn; then says what was imported, and the peak
# memory. (Not ru_maxrss: a child inherits that of the test's own process.)
PROGRAM = """
import importlib, json, sys
from pathlib import Path
program, heavy, lines = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
main = importlib.import_module(f"{program}.cli.main").main
codes = []
for words in lines:
    sys.argv = [program, *words]
    try:
        main()
    except SystemExit as end:
        codes.append(end.code or 0)
status = Path("/proc/self/status")
peak = status.read_text().split("VmHWM:")[1].split()[0] if status.exists() else "0"
found = [name for name in heavy if name in sys.modules]
print(json.dumps({"codes": codes, "imported": found, "peak_mib": int(peak) >> 10}), file=sys.stderr)
"""


class Ran(NamedTuple):
    """What a process did.

    Attributes:
        stdout: what it showed.
        codes: exit code of each call.
        imported: modules of :data:`HEAVY` that were imported.
        peak_mib: peak memory; 0 where the system does not say it.
    """

    stdout: str
    codes: list[int]
    imported: list[str]
    peak_mib: int


def run_program(program: str, *lines: list[str]) -> Ran:
    """Run ``tgn`` or ``classify`` with each of some command lines, in one new process."""
    command = [sys.executable, "-c", PROGRAM, program, json.dumps(HEAVY), json.dumps(lines)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=_environment())
    facts: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])
    return Ran(done.stdout, **facts)


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


def assert_help_is_light_and_short(program: str, words: list[str]) -> None:
    """Check what holds for the help of every command."""
    ran = run_program(program, [*words, "-h"])
    assert ran.codes == [0]
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
