"""The networks of a scoring, as its settings name them; for missing ones, how to get them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tgn.data.runs import Run
from tgn.models.extractors import CHOICES, TAIL, Extractor, load_extractor
from tgn.models.feature_bank import tail_net_file
from tgn.runtime.errors import UserError
from tgn.scoring.class_predictors import (
    ClassPredictor,
    ClipPredictor,
    load_class_predictor,
    load_clip_predictor,
    newest_classifier,
)
from tgn.scoring.lpips_distance import LpipsDistance, load_lpips
from tgn.scoring.settings import ScoreSettings

LPIPS_REMEDY = (
    "no network given; fetch the weights of torchvision's alexnet, vgg16 or squeezenet1_1 "
    "(squeezenet1_0 does not fit) and add --set lpips=alex:FILE, vgg:FILE or squeeze:FILE; or "
    "pip install 'tgn[perceptual]' and add --set lpips=st-alex or st-vgg, which is ST-LPIPS"
)
AGREEMENT_REMEDY = (
    "the run has no classifier of real images; make one: classify train --folds 4 (each net "
    "classifies only images whose sources it was not trained on), or give one: "
    "--set classifier=FILE"
)
NO_CLASSIFIER = "no classifier given; add --set classifier=FILE (classify train writes one)"
NO_CLASSES = "a folder has no class folders, so the images have no intended class"
NO_RUN = "needs a run with trained classifiers: tgn split, then classify compare"
CLIP_REMEDY = "no CLIP given; add --set clip=ViT-B-32:/path/to/file (see docs/stages/score.md)"


@dataclass(frozen=True)
class ScoringNetworks:
    """The networks of one scoring; None where a file was not given.

    Attributes:
        extractor: its features are compared.
        diversity_extractor: distances of pairs within a set are taken in its features.
        lpips: perceptual distance of pairs.
        classifier: predicts classes.
        clip: predicts classes; CMMD is taken in its embeddings.
        not_computed: metrics that need a network that is missing -> how to get it.
    """

    extractor: Extractor
    diversity_extractor: Extractor
    lpips: LpipsDistance | None
    classifier: ClassPredictor | None
    clip: ClipPredictor | None
    not_computed: Mapping[str, str]


def load_networks(settings: ScoreSettings, run: Run, class_names: Sequence[str]) -> ScoringNetworks:
    """Load what the settings name, and the run's tail net and classifier.

    Args:
        settings: of the scoring.
        run: has the tail net and, perhaps, a classifier.
        class_names: of the run's classes, in order.

    Raises:
        UserError: for a name, file or weights that do not fit.
    """
    tail_file = tail_net_file(run.kmdn)
    tail = load_extractor(TAIL, tail_file)
    is_tail = settings.extractor == TAIL
    extractor = tail if is_tail else load_extractor(settings.extractor, tail_file)
    lpips = load_lpips(settings.lpips) if settings.lpips else None
    clip = load_clip_predictor(settings.clip, class_names) if settings.clip else None
    path = settings.classifier or newest_classifier(run)
    classifier = load_class_predictor(path, run) if path else None
    missing = _missing(lpips, None if classifier else AGREEMENT_REMEDY, clip)
    return ScoringNetworks(extractor, tail, lpips, classifier, clip, missing)


def load_networks_for_folders(
    settings: ScoreSettings, extractor: Extractor, class_names: Sequence[str] | None
) -> ScoringNetworks:
    """Load what the settings name, to compare two plain folders.

    Args:
        settings: of the scoring.
        extractor: of :func:`load_folder_extractor`.
        class_names: of the classes in both folders, in order; None where there are no classes.

    Raises:
        UserError: for a name, file or weights that do not fit.
    """
    lpips = load_lpips(settings.lpips) if settings.lpips else None
    clip = load_clip_predictor(settings.clip, class_names or ["place"]) if settings.clip else None
    classifier = None
    if class_names is not None and settings.classifier is not None:
        classifier = load_class_predictor(settings.classifier, run=None)
    no_classifier = NO_CLASSIFIER if class_names else NO_CLASSES
    missing = _missing(lpips, None if classifier else no_classifier, clip)
    if clip is not None and class_names is None:
        missing["clip_agreement"] = NO_CLASSES
    missing["classification_accuracy"] = NO_RUN
    return ScoringNetworks(extractor, extractor, lpips, classifier, clip, missing)


def load_folder_extractor(spec: str, run: Run | None) -> Extractor:
    """Load the extractor to compare two plain folders with.

    Args:
        spec: as of :func:`tgn.models.extractors.load_extractor`.
        run: whose tail net ``tail`` means, if any.

    Raises:
        UserError: for ``tail`` without a run, or a name or file that does not fit.
    """
    if spec == TAIL and run is None:
        raise UserError(
            f"two folders have no tail net; add --set extractor=... with {CHOICES}; or --run NAME "
            "to take that run's tail net"
        )
    return load_extractor(spec, tail_net_file(run.kmdn) if spec == TAIL and run else None)


def _missing(
    lpips: LpipsDistance | None, no_classifier: str | None, clip: ClipPredictor | None
) -> dict[str, str]:
    missing = {}
    if lpips is None:
        missing["lpips_diversity"] = LPIPS_REMEDY
    if no_classifier:
        missing["agreement"] = no_classifier
    if clip is None:
        missing["clip_agreement, cmmd"] = CLIP_REMEDY
    return missing
