"""The result of a scoring, as it is written to JSON and shown in a table."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, computed_field

from tgn.models.provenance import Provenance


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Estimate(_Record):
    """A metric with its 95% bootstrap interval; no ends where there is no valid one."""

    value: float
    low: float | None = None
    high: float | None = None


class KernelScore(_Record):
    """KID, unbiased, and its standard error (None under four images)."""

    value: float
    standard_error: float | None
    num_subsets: int
    subset_sizes: tuple[int, int]  # of generated, of real


class DiversityScore(_Record):
    """Mean distance of pairs within a class; None where a class has no pair."""

    model_config = ConfigDict(
        extra="ignore"
    )  # a file also holds the ratio, which is computed on reading

    generated: float | None
    real: float | None
    ratio_low: float | None = None  # 95% bootstrap interval of the ratio, over images
    ratio_high: float | None = None

    @computed_field  # type: ignore[prop-decorator]  # pydantic's way of writing a property
    @property
    def ratio(self) -> float | None:
        """Generated / real: 1 is as varied as the real images, 0 is collapsed."""
        if self.generated is None or not self.real:
            return None
        return self.generated / self.real


class PrecisionRecallScore(_Record):
    """Precision, recall, density, coverage by k nearest neighbours."""

    precision: Estimate
    recall: Estimate
    density: Estimate
    coverage: Estimate
    neighbours: int


class VendiScore(_Record):
    """Effective number of different images in each set, at equal size of both."""

    generated: float
    real: float
    num_images: int


class AccuracyScore(_Record):
    """Tail accuracy on real test images of classifiers trained on one kind of tail image only."""

    generated: Estimate
    real: Estimate
    seeds: int


class NearestPair(_Record):
    """A generated image and its nearest real one; files relative to the root of the scores."""

    generated: str
    real: str
    distance: float


class CopyScore(_Record):
    """How near the generated images are to the real training images."""

    share: Estimate  # at or below the threshold
    threshold: float  # 1st percentile of the real images' own nearest distances
    median_distance: float
    real_median_distance: float
    nearest: tuple[NearestPair, ...]  # the closest few


class SetScores(_Record):
    """Everything about one class, or about all classes pooled."""

    name: str
    kind: Literal["class", "pooled"]
    num_generated: int
    num_real: int
    num_compared: int  # generated images in KID and FID (pooled: thinned to the real proportions)
    kid: KernelScore | None
    fid: Estimate | None
    manifold: PrecisionRecallScore | None
    cmmd: float | None
    feature_diversity: DiversityScore  # in the diversity extractor's features
    lpips_diversity: DiversityScore | None
    vendi: VendiScore | None  # in the extractor's features
    agreement: Estimate | None
    clip_agreement: Estimate | None
    copies: CopyScore | None
    notes: tuple[str, ...]  # why a metric is None


class Scores(_Record):
    """One scoring of one generated folder."""

    generated: str  # folder, relative to the root: the run, or the folder above this one
    reference: str  # which real images: "train" of the run, or a folder
    implementation: str
    extractor: Provenance
    diversity_extractor: Provenance
    lpips: Provenance | None
    classifier: Provenance | None
    clip: Provenance | None
    seed: int
    size: int  # side in pixels at which both sets were read
    min_count_for_fid: int
    pooled: SetScores
    classes: tuple[SetScores, ...]
    classification_accuracy: AccuracyScore | None = None
    not_computed: dict[str, str]  # metrics that are missing -> the remedy


LPIPS_COLUMN = "LPIPS diversity"
COLUMNS = (
    "class",
    "real",
    "generated",
    "KID",
    "FID",
    "precision",
    "recall",
    "feature diversity",
    LPIPS_COLUMN,
    "agreement",
    "copies",
)


def columns(scores: Scores) -> tuple[str, ...]:
    """Return :data:`COLUMNS`, with ST-LPIPS under its own name."""
    is_st = scores.lpips is not None and scores.lpips.name.startswith("ST-LPIPS")
    return tuple(f"ST-{name}" if is_st and name == LPIPS_COLUMN else name for name in COLUMNS)


def table_rows(scores: Scores) -> list[tuple[str, ...]]:
    """Return one row of :data:`COLUMNS` per class, the pooled one last.

    Diversities read ``generated / real = ratio``; ``-`` is a metric that was not computed.
    """
    return [_row(entry) for entry in (*scores.classes, scores.pooled)]


def _row(entry: SetScores) -> tuple[str, ...]:
    return (
        entry.name,
        str(entry.num_real),
        str(entry.num_generated),
        _kid(entry.kid),
        "-" if entry.fid is None else f"{entry.fid.value:.4g}",
        _share(entry.manifold.precision if entry.manifold else None),
        _share(entry.manifold.recall if entry.manifold else None),
        _diversity(entry.feature_diversity),
        _diversity(entry.lpips_diversity),
        _share(entry.agreement),
        _share(entry.copies.share if entry.copies else None),
    )


def _share(share: Estimate | None) -> str:
    return "-" if share is None else f"{share.value:.1%}"


def _kid(kid: KernelScore | None) -> str:
    if kid is None:
        return "-"
    error = "" if kid.standard_error is None else f" ± {kid.standard_error:.2g}"
    return f"{kid.value:.3g}{error}"


def _diversity(score: DiversityScore | None) -> str:
    if score is None or score.generated is None:
        return "-"
    if score.real is None or score.ratio is None:
        return f"{score.generated:.3f} / -"
    return f"{score.generated:.3f} / {score.real:.3f} = {score.ratio:.2f}"
