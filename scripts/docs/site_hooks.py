"""What the documentation site shows beside ``docs/``: pages made when it is built.

The home page is README.md; contributing, security and the changelog are the files at the root of
the repository; the command reference is made from the programs. mkdocs calls :func:`on_files`.
"""

import re
from pathlib import Path

import command_reference
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
FROM_ROOT = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
    "changelog.md": "CHANGELOG.md",
}
COMMANDS = "reference/commands.md"
LINK = re.compile(r"(?<!\\)(!?\[[^\]]*\])\(([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that do not lie in ``docs/``."""
    for page, source in FROM_ROOT.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=relinked(text)))
    files.append(File.generated(config, COMMANDS, content=command_reference.render()))
    return files


def relinked(text: str) -> str:
    """Return a page of the repository's root with its links as the site needs them.

    A link into ``docs/`` or to another page of the site is kept; of one to any other file of the
    repository only the words remain.
    """
    return LINK.sub(_target, text)


def _target(link: re.Match[str]) -> str:
    words, path, anchor = link[1], link[2], link[3] or ""
    pages = {source: page for page, source in FROM_ROOT.items()}
    if path.startswith(("http:", "https:", "mailto:")):
        return link[0]
    if path.startswith("docs/"):
        return f"{words}({path.removeprefix('docs/')}{anchor})"
    if path in pages:
        return f"{words}({pages[path]}{anchor})"
    return words.removeprefix("!").strip("[]")
