"""The tables of ``tgn score`` in the terminal."""

from collections.abc import Callable

from tgn.models.provenance import Provenance
from tgn.scoring.results import (
    DiversityScore,
    Estimate,
    Figure,
    PrecisionRecallScore,
    Scores,
    SetScores,
)
from tgn.scoring.summary import NONE, percent

SUMMARY_COLUMNS = ("all classes together", "generated", "95%", "held-out real", "better")
AGREEMENT = "agreement"
RECALL = {True: "recall, held-out", False: "recall, training"}  # True: against held-out images
AGAINST = "the generator was trained against {networks}, which flatters these figures"


def summary_rows(figures: list[Figure]) -> list[tuple[str, ...]]:
    """Return one row of :data:`SUMMARY_COLUMNS` for each figure."""
    return [(one.name, one.value, one.interval, one.floor, one.better) for one in figures]


def by_trust(scores: Scores) -> tuple[list[Figure], list[Figure]]:
    """Return the figures of independent or unknown networks, and those the generator was fitted to.

    The second group is not to be believed: a generator learns to please the networks in its losses.
    """
    fitted = [one for one in scores.summary if one.trained_against]
    return [one for one in scores.summary if not one.trained_against], fitted


def fitted_title(figures: list[Figure]) -> str:
    """Return the title of a table of figures by networks that the generator was trained against."""
    return AGAINST.format(networks=", ".join(sorted({one.network for one in figures})))


def judges_line(scores: Scores) -> str:
    """Return who judged, and what is known of them, as one line."""
    judges = {"features": scores.extractor, "classes": scores.classifier}
    return "judged by " + "; ".join(
        f"{one.name} ({role}; {_known(one)})" for role, one in judges.items() if one is not None
    )


def _known(provenance: Provenance) -> str:
    against = {
        True: "the generator was trained against it",
        False: "the generator was not trained against it",
        None: "not known whether the generator was trained against it",
    }[provenance.trained_against]
    return f"{against}; seen: {provenance.seen}" if provenance.seen else against


def pooled_note(scores: Scores) -> str:
    """Return which classes the pooled figures leave out, as one line; "" if none."""
    head = sum(entry.is_head for entry in scores.classes)
    return f"figures of all classes together are of the tail, without {head} head classes" * (
        head > 0
    )


def class_table(scores: Scores) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the columns and rows of the table of classes; it has no columns without a number.

    Recall is against held-out real images if a class has enough of them; else, of all classes,
    against training images. Agreement with a network that the generator was trained against is
    left out.
    """
    cells = {name: [cell(entry) for entry in scores.classes] for name, cell in COLUMNS.items()}
    has_held_out = any(entry.held_out_manifold for entry in scores.classes)
    del cells[RECALL[not has_held_out]]
    if scores.classifier and scores.classifier.trained_against:
        del cells[AGREEMENT]
    shown = [(name, values) for name, values in cells.items() if set(values) != {NONE}]
    names = tuple(name for name, _ in shown)
    return names, list(zip(*(values for _, values in shown), strict=True))


def _share(share: Estimate | None) -> str:
    return percent(share.value if share else None)


def _ratio(score: DiversityScore | None) -> str:
    return NONE if score is None or score.ratio is None else f"{score.ratio:.2f}"


def _recall(manifold: PrecisionRecallScore | None) -> str:
    return _share(manifold.recall if manifold else None)


COLUMNS: dict[str, Callable[[SetScores], str]] = {
    "class": lambda entry: f"{entry.name} (head)" if entry.is_head else entry.name,
    "real": lambda entry: str(entry.num_real),
    "drawn": lambda entry: str(entry.num_generated),
    AGREEMENT: lambda entry: _share(entry.agreement),
    RECALL[True]: lambda entry: _recall(entry.held_out_manifold),
    RECALL[False]: lambda entry: _recall(entry.manifold),
    "copies": lambda entry: _share(entry.copies.share if entry.copies else None),
    "own source": lambda entry: _share(entry.own_source),
    "diversity": lambda entry: _ratio(entry.feature_diversity),
    "LPIPS": lambda entry: _ratio(entry.lpips_diversity),
    "KID": lambda entry: NONE if entry.kid is None else f"{entry.kid.value:.3g}",
    "FID": lambda entry: NONE if entry.fid is None else f"{entry.fid.value:.4g}",
}
