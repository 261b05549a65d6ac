"""The networks of a scoring, as its settings name them; for missing ones, how to get them."""

from collections.abc import Sequence
from dataclasses import dataclass

from tgn.data.manifest import ManifestRow
from tgn.data.prompts import prompts_of
from tgn.data.runs import Run
from tgn.models.extractors import TAIL, Extractor, load_extractor
from tgn.models.feature_bank import TAIL_NET, tail_net_file
from tgn.models.judge import AUTO, choose_judge
from tgn.models.provenance import Provenance
from tgn.models.training_networks import TrainingNetwork
from tgn.models.zero_shot import ZeroShotClassifier, load_zero_shot
from tgn.scoring.class_predictors import (
    ClassPredictor,
    load_class_predictor,
)
from tgn.scoring.generator_networks import marked, networks_behind
from tgn.scoring.lpips_distance import LpipsDistance, load_lpips
from tgn.scoring.settings import ScoreSettings

LPIPS_REMEDY = (
    "no network given; fetch the weights of torchvision's alexnet, vgg16 or squeezenet1_1 "
    "(squeezenet1_0 does not fit) and add --set lpips=alex:FILE, vgg:FILE or squeeze:FILE; or "
    "pip install 'tgn[perceptual]' and add --set lpips=st-alex or st-vgg, which is ST-LPIPS"
)
NO_CLASSES = "a folder has no class folders, so the images have no intended class"
NO_RUN = "needs a run with trained classifiers: tgn split, then classify compare"
CLIP_REMEDY = "no CLIP given; add --set clip=ViT-B-32:/path/to/file (see docs/stages/score.md)"


@dataclass(frozen=True)
class ScoringNetworks:
    """The networks of one scoring; None where a file was not given.

    Attributes:
        extractor: its features are compared.
        lpips: perceptual distance of pairs.
        classifier: predicts classes in place of the ridge on the extractor's features.
        clip: predicts classes; CMMD is taken in its embeddings.
        trained_against: networks in the losses of the generator; None where it is not known.
    """

    extractor: Extractor
    lpips: LpipsDistance | None
    classifier: ClassPredictor | None
    clip: ZeroShotClassifier | None
    trained_against: tuple[TrainingNetwork, ...] | None = None

    def marked(self, provenance: Provenance) -> Provenance:
        """Return the provenance of a network with whether the generator was trained against it."""
        return marked(provenance, self.trained_against)

    def missing(self, has_classes: bool) -> dict[str, str]:
        """Return metrics that need a network that was not given -> how to get it."""
        missing = {}
        if self.lpips is None:
            missing["lpips_diversity"] = LPIPS_REMEDY
        if self.clip is None:
            missing["clip_agreement, cmmd"] = CLIP_REMEDY
        elif not has_classes:
            missing["clip_agreement"] = NO_CLASSES
        return missing


def load_networks(
    settings: ScoreSettings, run: Run, rows: Sequence[ManifestRow], class_names: Sequence[str]
) -> ScoringNetworks:
    """Load what the settings name.

    Args:
        settings: of the scoring.
        run: has the tail net.
        rows: of the generated images: which generator made them decides who judges.
        class_names: of the run's classes, in order.

    Raises:
        UserError: for a name, file or weights that do not fit.
    """
    against = networks_behind(run, rows)
    extractor = load_judge(settings.extractor, run, against)
    lpips = load_lpips(settings.lpips) if settings.lpips else None
    clip = load_zero_shot(settings.clip, prompts_of(class_names)) if settings.clip else None
    classifier = load_class_predictor(settings.classifier, run) if settings.classifier else None
    return ScoringNetworks(extractor, lpips, classifier, clip, against)


def load_networks_for_folders(
    settings: ScoreSettings, extractor: Extractor, class_names: Sequence[str] | None
) -> ScoringNetworks:
    """Load what the settings name, to compare two plain folders.

    Args:
        settings: of the scoring.
        extractor: of :func:`load_judge`.
        class_names: of the classes in both folders, in order; None where there are no classes.

    Raises:
        UserError: for a name, file or weights that do not fit.
    """
    lpips = load_lpips(settings.lpips) if settings.lpips else None
    prompts = prompts_of(class_names or ["place"])
    clip = load_zero_shot(settings.clip, prompts) if settings.clip else None
    classifier = None
    if class_names is not None and settings.classifier is not None:
        classifier = load_class_predictor(settings.classifier, run=None)
    return ScoringNetworks(extractor, lpips, classifier, clip)


def load_judge(
    spec: str, run: Run | None, trained_against: Sequence[TrainingNetwork] | None = None
) -> Extractor:
    """Load the extractor of a setting; ``auto`` is one that the generator was not trained against.

    Args:
        spec: as of :func:`tgn.models.extractors.load_extractor`.
        run: whose tail net ``tail`` means, if any.
        trained_against: networks in the losses of the generator, where they are known.

    Raises:
        UserError: for ``tail`` without a run, or a name, package or file that is not there.
    """
    if spec == AUTO:
        spec = choose_judge(run.kmdn / TAIL_NET if run else None, trained_against or ())
    return load_extractor(spec, tail_net_file(run.kmdn) if spec == TAIL and run else None)
