"""The command ``classify``: its verbs, and detectors as a group of their own."""

import sys

import typer

from classify.cli import detect, exchange, inference, training
from classify.cli.classifiers import OF_THE_RUN
from tgn.runtime.console import run_app

app = typer.Typer(
    name="classify",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train classifiers on the real, or real and generated, images of a run, and compare them.",
)
for part in (training, inference, exchange):
    app.add_typer(part.app)
app.add_typer(detect.app, name="detect")


@app.callback()
def _root() -> None:
    pass


def with_default_folder(arguments: list[str]) -> list[str]:
    """Let ``--augmented`` stand alone: without a folder behind it, it means the run's own."""
    filled = []
    for place, word in enumerate(arguments):
        following = arguments[place + 1] if place + 1 < len(arguments) else "-"
        alone = word == "--augmented" and following.startswith("-")
        filled += [word, OF_THE_RUN] if alone else [word]
    return filled


def main() -> None:
    """Run the command line and exit."""
    sys.argv[1:] = with_default_folder(sys.argv[1:])
    run_app(app)
