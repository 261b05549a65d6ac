"""The result of a scoring, as it is written to JSON."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, computed_field

from tgn.data.run_layout import SCORES_FORMAT
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

    share: Estimate  # at or below the threshold of their class
    held_out: Estimate | None  # share of held-out real images there
    threshold: float | None  # 1st percentile of the real images' own nearest distances; of a class
    median_distance: float
    real_median_distance: float
    nearest: tuple[NearestPair, ...]  # the closest few


def _number(images: float, digits: int = 2) -> str:
    """Return a number of images with so many digits, and whole ones without an exponent."""
    return f"{images:.{digits}g}" if images < 10**digits - 0.5 else f"{images:.0f}"


class CurvePoint(_Record):
    """What fresh real images bring."""

    images_per_class: float
    gain: float  # of accuracy, 0 to 1


class WorthScore(_Record):
    """How many fresh real images a class bring the gain that the generated images bring."""

    images_per_class: float  # 0 where they bring none; ``most`` where more than the curve has
    images_low: float  # ends of the 95% interval, within the curve
    images_high: float
    most: float  # images a class at the end of the curve
    is_at_least: bool  # the gain is above the curve's end
    gain: float  # of accuracy on held-out real images, mean over classes, 0 to 1
    gain_low: float
    gain_high: float
    accuracy_real: float  # of the judge's classifier, fitted to real training images alone
    accuracy_with_generated: float
    curve: tuple[CurvePoint, ...]
    num_generated: int
    num_held_out: int
    num_classes: int
    interval: str  # how it was made

    @property
    def sentence(self) -> str:
        """The result in words."""
        gain, low, high = (100 * x for x in (self.gain, self.gain_low, self.gain_high))
        points = f"{gain:+.1f} points, 95%: {low:+.1f} to {high:+.1f}"
        if gain <= 0:
            return f"these {self.num_generated} images are worth nothing: {points}"
        number = (
            f"at least {_number(self.most, 3)}"
            if self.is_at_least
            else f"about {_number(self.images_per_class)}"
        )
        top = "more than " if self.images_high >= self.most else ""
        return (
            f"these {self.num_generated} images are worth {number} fresh real images a class, 95%: "
            f"{_number(self.images_low)} to {top}{_number(self.images_high)} ({points})"
        )


class RealFloor(_Record):
    """What held-out real images reach in the place of the generated ones."""

    num_images: int
    agreement: Estimate | None
    kid: KernelScore | None
    manifold: PrecisionRecallScore | None  # against the training images
    held_out_manifold: PrecisionRecallScore | None  # one half of them against the other
    diversity_ratio: float | None
    separability: Estimate | None  # of training images from held-out ones
    energy: tuple[float, ...] | None


class Figure(_Record):
    """One row of the summary."""

    name: str
    value: str
    interval: str
    floor: str  # of held-out real images
    better: str
    network: str  # "" where none is used
    trained_against: bool | None  # whether the generator was trained against that network


class SetScores(_Record):
    """Everything about one class, or about all classes pooled."""

    name: str
    kind: Literal["class", "pooled"]
    num_generated: int
    num_real: int
    num_compared: int  # generated images in KID and FID (pooled: thinned to the real proportions)
    kid: KernelScore | None
    fid: Estimate | None
    manifold: PrecisionRecallScore | None  # against the training images
    held_out_manifold: PrecisionRecallScore | None  # against held-out real images
    cmmd: float | None
    feature_diversity: DiversityScore  # in the extractor's features
    lpips_diversity: DiversityScore | None
    vendi: VendiScore | None  # in the extractor's features
    agreement: Estimate | None
    clip_agreement: Estimate | None
    copies: CopyScore | None
    own_source: Estimate | None  # share whose nearest training image is their source
    separability: Estimate | None  # accuracy of a linear classifier from held-out ones; pooled
    energy: tuple[float, ...] | None  # of the Haar difference bands over real, finest first
    floor: RealFloor | None  # pooled
    notes: tuple[str, ...]  # why a metric is None
    is_head: bool = False  # a head class, which the pooled figures leave out


class Scores(_Record):
    """One scoring of one generated folder."""

    format: Literal["tgn-scores-2"] = SCORES_FORMAT
    generated: str  # folder, relative to the root: the run, or the folder above this one
    reference: str  # which real images: "train" of the run, or a folder
    implementation: str
    extractor: Provenance
    lpips: Provenance | None
    classifier: Provenance | None
    clip: Provenance | None
    seed: int
    size: int  # side in pixels at which both sets were read
    min_count_for_fid: int
    worth: WorthScore | None
    headline: str  # the worth in words, or why there is none
    summary: tuple[Figure, ...]  # of the classes pooled
    pooled: SetScores
    classes: tuple[SetScores, ...]
    classification_accuracy: AccuracyScore | None = None
    not_computed: dict[str, str]  # metrics that are missing -> the remedy
    made_from: dict[str, str] = {}  # see tgn.data.made_from; empty: not known
