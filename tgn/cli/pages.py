"""Verbs that show a run: report, app."""

from typing import Annotated

import typer

from tgn.data.runs import find_run
from tgn.runtime.command_options import DeviceOption, RunOption
from tgn.runtime.console import TerminalProgress, out

LOOPBACK = "127.0.0.1"

app = typer.Typer()


@app.command("report")
def report_verb(run: RunOption = None) -> None:
    """Write a self-contained HTML page about a run."""
    from tgn.report.page import write_report

    out.print(f"report: {write_report(find_run(run))}", markup=False)


@app.command("app")
def app_verb(
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but this one is open to others.")
    ] = LOOPBACK,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Default: the first free from 7860.")
    ] = None,
    run: RunOption = None,
    device: DeviceOption = None,
) -> None:
    """Open a page in the browser: generate images live, review generated ones, drop bad ones."""
    from tgn.app.serve import serve

    serve(find_run(run), host, port, device or "auto", TerminalProgress())
