"""Rendering of the report page."""

from pathlib import Path

from tgn.data.runs import Run
from tgn.report.contents import collect_contents
from tgn.runtime.files import write_text
from tgn.runtime.html_pages import page_environment


def write_report(run: Run) -> Path:
    """Write ``report.html`` of a run: one file without scripts or references to other files.

    Returns:
        The path of the page.
    """
    template = page_environment("tgn.report").get_template("report.html.j2")
    path = run.report_file
    write_text(path, template.render(collect_contents(run)))
    return path
