"""Prompts: sentences that describe each class to text encoders."""

from collections.abc import Sequence
from pathlib import Path

from tgn.data.split import Split
from tgn.runtime.errors import UserError
from tgn.runtime.progress import Progress
from tgn.runtime.text_files import read_yaml

TEMPLATES = (
    "an aerial image of a {}",
    "a satellite photo of a {}",
    "a {} seen from above",
    "an overhead view of a {}",
)

Prompts = Sequence[Sequence[str]]
"""At least one for each class, in the order of the classes."""


def prompts_of(names: Sequence[str]) -> list[list[str]]:
    """Return the prompts of each class, in the order of ``names``."""
    return [[template.format(name) for template in TEMPLATES] for name in names]


def read_prompts(file: Path, split: Split) -> list[list[str]]:
    """Return the prompts of each class: made from its name, and those that the user wrote.

    Args:
        file: the run's ``prompts.yaml``; if it exists, it has a list of descriptions for any class
            folder.
        split: of the run.

    Raises:
        UserError: if the file is not such a list, or names a class that the run does not have.
    """
    written = _read(file)
    folders = [entry.folder for entry in split.classes]
    if strange := sorted(set(written) - set(folders)):
        raise UserError(f"{file} has class {strange[0]!r}; the run has: {', '.join(folders)}")
    made = zip(folders, prompts_of(split.names), strict=True)
    return [[*prompts, *written.get(name, [])] for name, prompts in made]


def warn_of_numbers(names: Sequence[str], progress: Progress) -> None:
    """Warn where prompts are made of class numbers, since the classes have no names."""
    if warning := numbers_for_names(names):
        progress.warn(warning)


def numbers_for_names(names: Sequence[str]) -> str:
    """Return a warning that prompts are made of class numbers; "" if the classes have names."""
    numbers = [name for name in names if name.isdecimal()]
    if not numbers:
        return ""
    shown = ", ".join(numbers[:2])
    return (
        f"the classes are called {shown}, ..., and so they are in prompts and tables; put "
        "names.json (folder to name) into the data, or take published names (--set names=dior, "
        "dota or fgsc-23), and split again"
    )


def _read(path: Path) -> dict[str, list[str]]:
    if not path.is_file():
        return {}
    found = read_yaml(path) or {}
    if not isinstance(found, dict):
        raise UserError(f"{path}: expected class folders, each with a list of descriptions")
    for name, descriptions in found.items():
        is_list = isinstance(descriptions, list) and bool(descriptions)
        if not is_list or not all(isinstance(x, str) and x.strip() for x in descriptions):
            raise UserError(f"{path}: {name!r} has {descriptions!r}, expected a list of sentences")
    written = {str(name): list(descriptions) for name, descriptions in found.items()}
    if len(written) < len(found):
        raise UserError(f"{path} has a class twice, once as a number: {', '.join(written)}")
    return written
