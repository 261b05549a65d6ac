"""The verbs of ``classify``, and detectors as a group of their own."""

import typer

from classify.cli import detect, exchange, inference, training

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
