"""The recipes that ``classify compare`` knows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from classify.settings import LossName, Sampling
from tgn.core.errors import UserError

Images = Literal["all", "real-tail", "generated-tail"]
GENERATED = "+generated"


@dataclass(frozen=True)
class Recipe:
    """What tells one training of the comparison from another."""

    sampling: Sampling = "random"
    loss: LossName = "ce"
    images: Images = "all"
    generated: bool = False


BASES = {
    "ce": Recipe(),
    "balanced": Recipe(sampling="class-balanced"),
    "balanced-softmax": Recipe(loss="balanced-softmax"),
}
RECIPES = {
    **BASES,
    **{name + GENERATED: replace(base, generated=True) for name, base in BASES.items()},
    # The classification accuracy score is the tail accuracy of the second against the first.
    "real-tail-only": Recipe(sampling="class-balanced", images="real-tail"),
    "generated-tail-only": Recipe(
        sampling="class-balanced", images="generated-tail", generated=True
    ),
}


def check_recipes(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names, or raise UserError listing the valid ones."""
    unknown = [name for name in names if name not in RECIPES]
    if unknown or not names:
        raise UserError(f"--recipes got {unknown or 'nothing'}; valid: {', '.join(RECIPES)}")
    return tuple(names)
