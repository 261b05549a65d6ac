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


@pytest.fixture(scope="module")
def scripts_docs():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts" / "docs"))
        yield importlib.import_module
    for name in ("command_reference", "site_hooks"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def command_page(scripts_docs) -> str:
    """Render the command reference once."""
    return scripts_docs("command_reference").render()


def test_every_command_is_in_the_reference_with_its_settings(scripts_docs, command_page):
    reference: ModuleType = scripts_docs("command_reference")
    headings = re.findall(r"^### (.+)$", command_page, re.MULTILINE)
    assert {"tgn split", "tgn generate", "classify compare", "classify detect train"} <= set(
        headings
    )
    assert {*reference.VARIANTS, *reference.SAME_AS} <= set(headings)
    assert "| `loss_options.focal_gamma` |" in command_page
    assert "| `--resume`, `--no-resume` |" in command_page


def test_rows_of_the_reference_have_as_many_cells_as_their_head(command_page):
    for block in re.findall(r"(?:^\|.*\n)+", command_page, re.MULTILINE):
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
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    assert not [
        line for line in prose.splitlines() if len(line) > WIDTH and not line.startswith("|")
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_of_the_repository_that_a_page_names_exist(page):
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"\b(?:tgn|classify|tests)/[\w/]+\.py|\bscripts/[\w./]*\w", text)
    assert not [path for path in named if not (ROOT / path).exists()]


def test_settings_that_the_pages_give_exist(command_page):
    known = set(re.findall(r"^\| `([\w.]+)` \|", command_page, re.MULTILINE))
    given = {
        (page.name, name)
        for page in PAGES
        if page.name != "CHANGELOG.md"  # has former names
        for name in re.findall(r"--set `?([a-z][\w.]*)=", page.read_text(encoding="utf-8"))
    }
    assert not [(page, name) for page, name in sorted(given) if name not in {*known, "key"}]


def test_options_that_the_pages_give_exist(command_page):
    sections = re.split(r"^### ", command_page, flags=re.MULTILINE)
    flags = {
        section.partition("\n")[0]: set(re.findall(r"`(--[\w-]+)`", section))
        for section in sections
    }
    line = re.compile(r"^((?:tgn|classify)(?: detect)? [a-z]+)\b(.*)$", re.MULTILINE)
    given = {
        (page.name, command, flag)
        for page in PAGES
        for command, rest in line.findall(page.read_text(encoding="utf-8").replace("\\\n", " "))
        for flag in re.findall(r"--[\w-]+", re.split("#|;|&&", rest)[0])
        if command in flags
    }
    assert not [one for one in sorted(given) if one[2] not in flags[one[1]]]
