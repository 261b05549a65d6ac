"""The pooled figures of a scoring, each beside what held-out real images reach."""

from collections.abc import Iterator

from tgn.models.provenance import Provenance
from tgn.scoring.network_outputs import RIDGE_ON
from tgn.scoring.results import (
    DiversityScore,
    Estimate,
    Figure,
    KernelScore,
    PrecisionRecallScore,
    SetScores,
)

NONE = "–"
HIGHER, LOWER, NEAR = "higher", "lower", "near 1"
NEAR_REAL = "as real"
SCALES = ("finest", "second", "third")


class Summary:
    """Makes the rows of the summary.

    Args:
        pooled: the figures.
        extractor: whose features were compared.
        classifier: which network agreement is of; None: none.
        clip: CLIP, if one was given.
        lpips: LPIPS, if it was given.
    """

    def __init__(
        self,
        pooled: SetScores,
        extractor: Provenance,
        classifier: Provenance | None,
        clip: Provenance | None,
        lpips: Provenance | None,
    ) -> None:
        self.pooled, self.extractor = pooled, extractor
        self.classifier, self.clip, self.lpips = classifier, clip, lpips

    def figures(self) -> tuple[Figure, ...]:
        """Return the rows of what was computed."""
        rows = [*self._classes(), *self._coverage(), *self._novelty(), *self._likeness()]
        return tuple(row for row in rows if row.value != NONE)

    def _classes(self) -> Iterator[Figure]:
        floor = self.pooled.floor.agreement if self.pooled.floor else None
        yield self._share("agreement", self.pooled.agreement, floor, HIGHER, self.classifier)
        yield self._share("CLIP agreement", self.pooled.clip_agreement, None, HIGHER, self.clip)

    def _coverage(self) -> Iterator[Figure]:
        floor = self.pooled.floor
        held_out, training = (floor.held_out_manifold, floor.manifold) if floor else (None, None)
        for words, ours, theirs in (
            ("held-out", self.pooled.held_out_manifold, held_out),
            ("training", self.pooled.manifold, training),
        ):
            for part in ("recall", "precision", "coverage"):
                what = f"{part}, {words} images"
                yield self._share(what, _part(ours, part), _part(theirs, part), HIGHER)
        yield self._ratio("diversity / real", self.pooled.feature_diversity, self.extractor)
        name = self.lpips.name if self.lpips else "LPIPS"
        yield self._ratio(f"{name} diversity / real", self.pooled.lpips_diversity, self.lpips)
        if self.pooled.vendi:
            value, real = (
                f"{n:.1f}" for n in (self.pooled.vendi.generated, self.pooled.vendi.real)
            )
            yield self._figure("Vendi score", value, real, NEAR_REAL, self.extractor)

    def _novelty(self) -> Iterator[Figure]:
        copies = self.pooled.copies
        share, floor = (copies.share, copies.held_out) if copies else (None, None)
        yield self._share("copies", share, floor, LOWER)
        yield self._share("nearest is own source", self.pooled.own_source, None, LOWER)

    def _likeness(self) -> Iterator[Figure]:
        pooled, floor = self.pooled, self.pooled.floor
        real = floor.separability if floor else None
        yield self._share("separable from real", pooled.separability, real, "near 50%")
        for place, ours in enumerate(pooled.energy or ()):
            value = f"{floor.energy[place]:.2f}" if floor and floor.energy else NONE
            name = f"energy, {SCALES[place]} bands / real"
            yield self._figure(name, f"{ours:.2f}", value, NEAR, None)
        yield self._kid(pooled.kid, floor.kid if floor else None)
        if pooled.fid:
            yield self._figure("FID", f"{pooled.fid.value:.4g}", NONE, LOWER, self.extractor)
        if pooled.cmmd is not None:
            yield self._figure("CMMD", f"{pooled.cmmd:.3g}", NONE, LOWER, self.clip)

    def _kid(self, kid: KernelScore | None, floor: KernelScore | None) -> Figure:
        value, error = (f"{kid.value:.3g}", kid.standard_error) if kid else (NONE, None)
        interval = f"± {error:.2g}" if error is not None else ""
        real = f"{floor.value:.3g}" if floor else NONE
        return self._figure("KID", value, real, LOWER, self.extractor, interval)

    def _share(
        self,
        name: str,
        share: Estimate | None,
        floor: Estimate | None,
        better: str,
        network: Provenance | None = None,
    ) -> Figure:
        has_ends = share is not None and share.low is not None and share.high is not None
        ends = f"{percent(share.low)} to {percent(share.high)}" if share and has_ends else ""
        value, real = (percent(one.value if one else None) for one in (share, floor))
        return self._figure(name, value, real, better, network or self.extractor, ends)

    def _ratio(self, name: str, score: DiversityScore | None, network: Provenance | None) -> Figure:
        if score is None or score.ratio is None:
            return self._figure(name, NONE, NONE, NEAR, network)
        floor = self.pooled.floor.diversity_ratio if self.pooled.floor else None
        real = f"{floor:.2f}" if floor is not None and network is self.extractor else NONE
        low, high = score.ratio_low, score.ratio_high
        ends = f"{low:.2f} to {high:.2f}" if low is not None and high is not None else ""
        return self._figure(name, f"{score.ratio:.2f}", real, NEAR, network, ends)

    def _figure(
        self,
        name: str,
        value: str,
        floor: str,
        better: str,
        network: Provenance | None,
        interval: str = "",
    ) -> Figure:
        return Figure(
            name=name,
            value=value,
            interval=interval,
            floor=floor,
            better=better,
            network=network.name.removeprefix(RIDGE_ON) if network else "",
            trained_against=network.trained_against if network else None,
        )


def percent(share: float | None) -> str:
    """Return a share in [0, 1] as percent, "–" for None."""
    return NONE if share is None else f"{100 * share:.1f}%"


def _part(score: PrecisionRecallScore | None, name: str) -> Estimate | None:
    return getattr(score, name) if score else None
