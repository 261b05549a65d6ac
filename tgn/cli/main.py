"""The command ``tgn``: its verbs, in the order of the pipeline."""

import sys
from typing import Annotated

import typer

from tgn import __version__
from tgn.cli import assess, data, demo, generation, pages, scoring
from tgn.runtime.command_options import OF_THE_RUN, with_lone_option
from tgn.runtime.console import out, run_app

app = typer.Typer(
    name="tgn",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Generate new images of the rare classes of a long-tailed image set. In order: split, "
    "distill, train, generate, score; then: classify train --augmented. Try: tgn demo",
)
for part in (data, assess, generation, scoring, pages, demo):
    app.add_typer(part.app)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if version:
        out.print(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line and exit."""
    sys.argv[1:] = with_lone_option(sys.argv[1:], "--generated", OF_THE_RUN)
    run_app(app)
