"""The verbs of ``tgn``, in the order of the pipeline."""

from typing import Annotated

import typer

from tgn import __version__
from tgn.cli import assess, data, demo, generation, pages, scoring
from tgn.runtime.console import out

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
