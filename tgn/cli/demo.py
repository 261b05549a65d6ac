"""The verb demo: the commands a user would type, one after another."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import typer

from tgn.data.runs import find_run, runs_root
from tgn.runtime.command_options import DryRunOption, SeedOption
from tgn.runtime.console import err, out
from tgn.runtime.files import read_json
from tgn.runtime.signals import stops_passed_on

RUN = "demo"

# Sizes that fit a laptop: up to 10 minutes on two cores without a GPU.
SETTINGS = {
    "distill": ["steps=80", "control=false"],
    "train": ["steps=100"],
    "classify": ["size=64", "steps=40", "probe.crops=2"],
}

app = typer.Typer()


@app.command("demo")
def demo_verb(seed: SeedOption = None, dry_run: DryRunOption = False) -> None:
    """Run the whole pipeline on the built-in data: up to 10 minutes on two cores."""
    for command in commands(runs_root(), seed or 0):
        err.print(f"$ {' '.join(command)}", style="bold", markup=False)
        if not dry_run and (code := run_command(command)):
            raise typer.Exit(code)
    if not dry_run:
        out.print(read_json(find_run(RUN).comparison_file)["verdict"]["sentence"], markup=False)


def commands(runs: Path, seed: int) -> Iterator[list[str]]:
    """Yield the commands of the demo; ``runs`` is the folder of all runs."""
    data = runs / "demo-data"
    yield ["tgn", "scenes", str(data), "--seed", str(seed)]
    if not (runs / RUN / "run.yaml").is_file():
        yield ["tgn", "split", str(data), "--run", RUN, "--seed", str(seed)]
    yield ["tgn", "assess", "--run", RUN]
    yield ["tgn", "distill", "--run", RUN, *_set("distill")]
    yield ["tgn", "train", "--run", RUN, *_set("train")]
    yield ["tgn", "generate", "--class", "every", "--n", "60", "--run", RUN]
    yield ["tgn", "score", "--run", RUN]
    yield ["classify", "compare", "--run", RUN, *_set("classify")]
    yield ["tgn", "report", "--run", RUN]


def run_command(command: list[str]) -> int:
    """Run one command in a process of its own and return its exit code.

    The process is in a group of its own: Ctrl-C in a terminal goes to the whole group, and a second
    signal would end it before it has saved what it has done.
    """
    child = subprocess.Popen([sys.executable, "-m", *command], process_group=0)
    with stops_passed_on(child.send_signal) as stop_if_told:
        code = child.wait()
    stop_if_told()
    return code if code >= 0 else 128 - code  # as a shell says that a signal has ended it


def _set(verb: str) -> list[str]:
    return [word for setting in SETTINGS[verb] for word in ("--set", setting)]
