"""Check that the installed packages are the lowest that pyproject.toml allows.

A package is installed above its lower bound where another one needs more of it. The bound then
promises a version that nobody can have tested; raise it. Run by ``scripts/test --lowest``.
"""

import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"


def lower_bound(requirement: Requirement) -> Version | None:
    """Return the version after ``>=``, or None where a requirement has no lower bound."""
    bounds = [Version(spec.version) for spec in requirement.specifier if spec.operator == ">="]
    return max(bounds, default=None)


def untested_bounds(pyproject: Path) -> list[str]:
    """Return a sentence for each direct requirement whose lower bound is not what is installed."""
    project = tomllib.loads(pyproject.read_text("utf-8"))["project"]
    lines = []
    for text in sorted({*project["dependencies"], *project["optional-dependencies"]["dev"]}):
        requirement = Requirement(text)
        installed, bound = Version(version(requirement.name)), lower_bound(requirement)
        if bound is None:
            lines.append(f"{text} has no lower bound; {installed} passes: write it down")
        elif installed != bound:
            lines.append(f"{text} cannot be had here, {installed} passes: raise the bound")
    return lines


if __name__ == "__main__":
    problems = untested_bounds(PYPROJECT)
    print(*problems, sep="\n", end="\n" if problems else "")
    sys.exit(bool(problems))
