"""The verdict of a comparison: which recipe to use, and whether with generated images."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal, cast

from classify.comparison.verdict_evidence import Difference, Evidence, Rival, gathered, keeps_head
from classify.training.recipes import BEST, GENERATED, recipe

Outcome = Literal["generate", "trade-off", "do-not-generate", "open", "none-with", "none-without"]

RULE = (
    "generate if the 95% interval of the tail's gain over the best recipe without generated images "
    "is above 0 and the head loses at most 0.5 points, trade-off if it loses more; do-not-generate "
    "if the interval is below 0; else open"
)


def verdict(table: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the verdict of a comparison, as ``compare.json`` stores it.

    Args:
        table: the content of ``compare.json``; ``seeds`` and ``recipes`` are read.

    Returns:
        ``outcome``, ``use`` (a recipe), ``generated`` (whether it trains with generated images),
        ``sentence``, ``rule`` and ``evidence``; None if no recipe trains on all real images.
    """
    evidence = gathered(table)
    if evidence is None:
        return None
    outcome = decided(evidence)
    used = evidence.plain
    if outcome == "generate" and evidence.rival is not None:
        used = evidence.rival.score
    return {
        "outcome": outcome,
        "use": used.recipe,
        "generated": recipe(used.recipe).generated,
        "sentence": sentence(evidence),
        "rule": RULE,
        "evidence": asdict(evidence),
    }


def decided(evidence: Evidence) -> Outcome:
    """Apply :data:`RULE`; without a recipe of each kind there is nothing to decide."""
    if not evidence.num_without:
        return "none-without"
    if not evidence.num_with or evidence.rival is None:
        return "none-with"
    if _is_above(evidence.rival.tail):
        return "generate" if keeps_head(evidence.rival) else "trade-off"
    return "do-not-generate" if _is_below(evidence.rival.tail) else "open"


def sentence(evidence: Evidence) -> str:
    """Return the verdict in plain words, with the numbers it rests on."""
    if (outcome := decided(evidence)) == "none-with":
        text = _none_with(evidence)
    elif outcome == "none-without":
        text = _none_without(evidence)
    else:
        texts = {
            "generate": _generate,
            "trade-off": _trade_off,
            "do-not-generate": _do_not_generate,
            "open": _open,
        }
        text = texts[outcome](evidence, cast(Rival, evidence.rival))
    return text + _flatters(evidence)


def _generate(evidence: Evidence, rival: Rival) -> str:
    return (
        f"Use {rival.score.recipe}, with generated images: {_percent(rival.score.tail)} on the "
        f"rare classes (tail) instead of {_percent(rival.against.tail)} with "
        f"{rival.against.recipe}, the best without them ({_points(rival.tail.mean)} points, "
        f"{_interval(rival.tail)}, {_seeds(evidence.seeds)}); head {_points(rival.head.mean)}."
    )


def _trade_off(evidence: Evidence, rival: Rival) -> str:
    return (
        f"Use {evidence.plain.recipe} without generated images{_reached(evidence)}, unless only "
        f"rare classes count: {rival.score.recipe}, with them, changes {rival.against.recipe}'s "
        f"tail by {_points(rival.tail.mean)} points ({_interval(rival.tail)}, "
        f"{_seeds(evidence.seeds)}), but its head by {_points(rival.head.mean)}."
    )


def _do_not_generate(evidence: Evidence, rival: Rival) -> str:
    return (
        f"Do not generate: use {evidence.plain.recipe}{_reached(evidence)}. The best with "
        f"generated images, {rival.score.recipe}, differs from {rival.against.recipe} on the tail "
        f"by {_points(rival.tail.mean)} points ({_interval(rival.tail)}, "
        f"{_seeds(evidence.seeds)})."
    )


def _open(evidence: Evidence, rival: Rival) -> str:
    differs = (
        f"Use {evidence.plain.recipe} without generated images{_reached(evidence)}. With them, "
        f"{rival.score.recipe} differs from {rival.against.recipe} on the tail by "
        f"{_points(rival.tail.mean)} points"
    )
    more = 5 if evidence.seeds < 5 else 2 * evidence.seeds
    if evidence.seeds == 1:
        return f"{differs}: one seed shows no spread, more may decide (--seeds {more})."
    if rival.tail.low is None:
        return f"{differs} with each of {_seeds(evidence.seeds)}: no spread, so nothing is decided."
    return (
        f"{differs} ({_interval(rival.tail)}): {_seeds(evidence.seeds)} do not decide it, more may "
        f"(--seeds {more})."
    )


def _none_with(evidence: Evidence) -> str:
    name = evidence.plain.recipe
    trained = BEST if recipe(name).zero_shot else name
    return (
        f"Use {name}{_reached(evidence)}{_over_next(evidence)}. Generated images were not "
        f"compared: add {trained}{GENERATED} to --recipes."
    )


def _none_without(evidence: Evidence) -> str:
    return (
        f"Use {evidence.plain.recipe}, with generated images{_reached(evidence)}"
        f"{_over_next(evidence)}. Whether they help was not compared: add a recipe without them, "
        f"such as {BEST}, to --recipes."
    )


def _over_next(evidence: Evidence) -> str:
    rival = evidence.rival
    if rival is None:
        return ""
    interval = "no spread" if rival.tail.low is None else _interval(rival.tail)
    tie = ", within one standard error" if rival.tail.mean > 0 else ""
    return (
        f"; the next, {rival.score.recipe}, differs from it on the tail by "
        f"{_points(rival.tail.mean)} points ({interval}, {_seeds(evidence.seeds)}){tie}"
    )


def _reached(evidence: Evidence) -> str:
    """Return what the recipe to use reaches, and which better one it ties with."""
    plain, rival = evidence.plain, evidence.rival
    tie = (
        f"; {rival.against.recipe}, {_percent(rival.against.tail)}, is within one standard error"
        if rival is not None and rival.against != plain
        else ""
    )
    return (
        f" ({_percent(plain.tail)} on the rare classes (tail), {_percent(plain.head)} on the "
        f"head{tie})"
    )


def _flatters(evidence: Evidence) -> str:
    if max(evidence.num_without, evidence.num_with) == 1:
        return ""
    number = evidence.num_without + evidence.num_with
    return f" Chosen among {number} recipes by the test images, which flatters."


def _is_above(difference: Difference) -> bool:
    return difference.low is not None and difference.low > 0


def _is_below(difference: Difference) -> bool:
    return difference.high is not None and difference.high < 0


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _points(share: float) -> str:
    return f"{round(100 * share, 1) + 0.0:+.1f}"  # + 0.0: no -0.0


def _interval(difference: Difference) -> str:
    return f"{_points(cast(float, difference.low))} to {_points(cast(float, difference.high))}"


def _seeds(number: int) -> str:
    return "1 seed" if number == 1 else f"{number} seeds"
