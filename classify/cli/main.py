"""The command ``classify``: its verbs, and detectors as a group of their own."""

import sys

import typer

from classify.cli import detect, exchange, inference, training
from tgn.runtime.command_options import OF_THE_RUN, with_lone_option
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


def main() -> None:
    """Run the command line and exit."""
    sys.argv[1:] = with_lone_option(sys.argv[1:], "--augmented", OF_THE_RUN)
    run_app(app)
