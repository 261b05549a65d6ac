"""Names of others in a terminal and in charts: nothing is obeyed, nothing is a formula."""

import io
import warnings

import pytest
from matplotlib.figure import Figure
from rich.table import Table

from tgn.runtime import console
from tgn.runtime.console import PlainConsole, TerminalProgress
from tgn.runtime.errors import UserError
from tgn.runtime.explanations import explained
from tgn.runtime.shown_text import BOX, for_chart, for_terminal

HOSTILE = ("[/red]", "[bold]x[/bold]", ":smile:", "\x1b[31mred", "\x07\x08\r", "\u202eltr", "a\\b")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_terminal_shows_names_and_obeys_none(name, monkeypatch):
    stream = io.StringIO()
    terminal = PlainConsole(file=stream, force_terminal=True, width=100, color_system=None)
    monkeypatch.setattr(console, "err", terminal)
    table = Table(name)
    table.add_row(name)
    terminal.print(table)
    terminal.print(name)
    terminal.print(name, style="bold")
    progress = TerminalProgress()
    progress.start(name, 2)
    progress.advance(1, note=name)
    progress.warn(name)
    progress.stop()
    said = stream.getvalue()
    assert said.count(for_terminal(name)) >= 6
    assert "\x1b[31m" not in said
    assert not {"\x07", "\x08", "\u202e"} & set(said)


def test_bytes_that_are_not_utf8_are_shown_as_such():
    assert for_terminal(b"caf\xe9".decode("utf-8", "surrogateescape")) == "caf\\xe9"


def test_a_message_as_long_as_a_book_is_cut():
    line = explained(UserError("x" * 10**6 + " in file.yaml"))
    assert len(line) < 3000
    assert line.endswith("in file.yaml")


@pytest.mark.usefixtures("charts")
@pytest.mark.parametrize(
    "name",
    ["$\\frac{$", "$x$", "a\\$b", "\x1b[31m", "a\nb", "مطار", "✈️🛬", "_x", "机场", "L" * 999],
)
def test_a_chart_draws_any_name_without_a_warning(name):
    figure = Figure()
    axes = figure.subplots()
    (line,) = axes.plot([0, 1], label=for_chart(name))
    axes.set_yticks([0], [for_chart(name)])
    axes.set_title(for_chart(name))
    legend = axes.legend()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(io.BytesIO(), format="png")
    assert len(legend.get_texts()) == 1


def test_what_the_font_lacks_is_a_box():
    assert for_chart("a机") == f"a{BOX}"
