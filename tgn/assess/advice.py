"""The advice: one rule, in plain words."""

from dataclasses import dataclass
from typing import Literal

from tgn.assess.settings import AssessSettings

Verdict = Literal["relabel", "collect", "balance", "stop"]

RULE = (
    "relabel if the share of doubtful labels reaches the setting relabel; else collect if four "
    "times the images of the rare classes are predicted to raise their accuracy by at least the "
    "setting worthwhile and the lower end of the interval is above 0; else balance if weighting "
    "classes alike raises the rare classes' accuracy by at least the same; else stop"
)


@dataclass(frozen=True)
class Evidence:
    """What the advice rests on: training images; test images appear in its warning alone.

    Attributes:
        doubtful_share: of training images whose label is contradicted.
        gain: predicted for the rare classes from four times their images, in [-1, 1].
        low: lower end of its 95% interval.
        high: upper end.
        balance_gain: accuracy of rare classes with classes weighted alike less that without.
        can_gain: names of the classes that gain most, the first ones.
        leaks: test images that are copies of training images, or nearly.
    """

    doubtful_share: float
    gain: float
    low: float
    high: float
    balance_gain: float
    can_gain: tuple[str, ...] = ()
    leaks: int = 0


def verdict(evidence: Evidence, settings: AssessSettings) -> Verdict:
    """Apply :data:`RULE`."""
    if evidence.doubtful_share >= settings.relabel:
        return "relabel"
    if is_worthwhile(evidence, settings):
        return "collect"
    if evidence.balance_gain >= settings.worthwhile:
        return "balance"
    return "stop"


def is_worthwhile(evidence: Evidence, settings: AssessSettings) -> bool:
    """Whether four times the images of the rare classes are predicted to be worth it."""
    return evidence.gain >= settings.worthwhile and evidence.low > 0


def is_open(evidence: Evidence, settings: AssessSettings) -> bool:
    """Whether the interval of the predicted gain has the setting worthwhile within it."""
    return evidence.low < settings.worthwhile < evidence.high


def sentence(evidence: Evidence, settings: AssessSettings) -> str:
    """Return the advice in plain words, with the numbers it rests on."""
    gain = (
        f"four times the images of the rare classes would change their accuracy by "
        f"{_points(evidence.gain)} points ({_points(evidence.low)} to {_points(evidence.high)})"
    )
    more = (
        f"; perfect generated images would be worth as much, real generators less{_first(evidence)}"
    )
    balance = (
        f" Weight the classes alike in training: that alone is worth "
        f"{_points(evidence.balance_gain)} points."
        if evidence.balance_gain >= settings.worthwhile
        else ""
    )
    worth = is_worthwhile(evidence, settings)
    text = {
        "relabel": (
            f"Relabel first: {100 * evidence.doubtful_share:.1f}% of the labels are contradicted. "
            f"As it is, {gain}{more if worth else ', which is not worth the work'}.{balance}"
        ),
        "collect": f"Collect, or generate: {gain}{more}.{balance}",
        "balance": f"Balance:{balance} More images are not worth the work: {gain}.",
        "stop": f"Stop: more images are not worth the work: {gain}.",
    }[verdict(evidence, settings)]
    return text + _open(evidence, settings) + _leaks(evidence.leaks)


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def _first(evidence: Evidence) -> str:
    return f". Begin with {', '.join(evidence.can_gain)}" if evidence.can_gain else ""


def _open(evidence: Evidence, settings: AssessSettings) -> str:
    if not is_open(evidence, settings):
        return ""
    limit = f"{100 * settings.worthwhile:g} points"
    return f" The limit of {limit} is within the interval of the gain: either answer may be right."


def _leaks(leaks: int) -> str:
    if not leaks:
        return ""
    those = "1 test image is a copy" if leaks == 1 else f"{leaks} test images are copies"
    return f" {those} of training images, or nearly: test accuracy flatters."
