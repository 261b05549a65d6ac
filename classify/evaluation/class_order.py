"""Whether a classifier has the classes of a run, in its order."""

from collections.abc import Sequence

from tgn.runtime.errors import UserError

SHOWN = 4


def check_classes(whose: str, own: Sequence[str], run: Sequence[str]) -> None:
    """Refuse a classifier whose outputs are not the classes of the run.

    Args:
        whose: "teacher" or "classifier", with its file.
        own: its class folders, in the order of its outputs.
        run: those of the run.

    Raises:
        UserError: saying which classes differ, or where their order does.
    """
    if tuple(own) != tuple(run):
        raise UserError(f"{whose} {_difference(own, run)}; train one on this run")


def _difference(own: Sequence[str], run: Sequence[str]) -> str:
    lacking = [name for name in run if name not in own]
    foreign = [name for name in own if name not in run]
    parts = [
        f"{verb} {', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''}"
        for verb, names in (("lacks the classes", lacking), ("has the classes", foreign))
        if names
    ]
    if parts:
        return f"{' and '.join(parts)} (it has {len(own)}, the run {len(run)})"
    place = next(k for k, pair in enumerate(zip(own, run, strict=True)) if len(set(pair)) > 1)
    return (
        f"has the classes of the run in another order: its number {place} is {own[place]}, that of "
        f"the run {run[place]}"
    )
