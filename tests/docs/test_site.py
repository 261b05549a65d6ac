"""The pages that the documentation site makes of programs and of files outside ``docs/``."""

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
WIDTH = 120  # characters of a line of prose
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")])


@pytest.fixture
def scripts_docs(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts" / "docs"))
    yield importlib.import_module
    for name in ("command_reference", "site_hooks"):
        sys.modules.pop(name, None)


def test_every_command_is_in_the_reference_with_its_settings(scripts_docs):
    reference: ModuleType = scripts_docs("command_reference")
    page = reference.render()
    headings = re.findall(r"^### (.+)$", page, re.MULTILINE)
    assert {"tgn split", "tgn generate", "classify compare", "classify detect train"} <= set(
        headings
    )
    assert {*reference.SETTINGS, *reference.SAME_AS} <= set(headings)
    assert "| `losses.tau` |" in page
    assert "| `--resume`, `--no-resume` |" in page


def test_rows_of_the_reference_have_as_many_cells_as_their_head(scripts_docs):
    page = scripts_docs("command_reference").render()
    for block in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        cells = {len(re.split(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(cells) == 1, block


def test_links_of_the_readme_fit_the_site(scripts_docs):
    pytest.importorskip("mkdocs")
    relinked = scripts_docs("site_hooks").relinked
    assert relinked("![x](docs/a.png)") == "![x](a.png)"
    assert relinked("[y](docs/stages/split.md#z)") == "[y](stages/split.md#z)"
    assert relinked("[y](CONTRIBUTING.md)") == "[y](contributing.md)"
    assert relinked("[y](LICENSE)") == "y"
    assert relinked("[y](https://example.org/a)") == "[y](https://example.org/a)"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_lines_of_prose_are_short(page):
    lines = enumerate(page.read_text(encoding="utf-8").splitlines(), start=1)
    assert not [n for n, line in lines if len(line) > WIDTH and not line.startswith("|")]
