"""What a scoring is made with: its settings, and the networks they name or how to get them."""

from dataclasses import dataclass

from tgn.data.runs import Run
from tgn.data.split import Split
from tgn.models.extractors import Extractor, load_extractor
from tgn.models.feature_bank import tail_net_file
from tgn.scoring.class_predictors import (
    ClassifierJudge,
    ClipJudge,
    load_classifier_judge,
    load_clip_judge,
    own_classifier,
)
from tgn.scoring.lpips_distance import Perceptual, load_perceptual
from tgn.scoring.settings import ScoreSettings

LPIPS_REMEDY = (
    "no backbone file given; fetch the weights of torchvision's alexnet, vgg16 or squeezenet1_1 "
    "(squeezenet1_0 does not fit) and add --set lpips=alex:FILE, vgg:FILE or squeeze:FILE"
)
AGREEMENT_REMEDY = (
    "the run has no classifier of real images; make one: classify train --folds 4 (its nets judge "
    "only what they have not seen), or give one: --set classifier=FILE"
)
CLIP_REMEDY = "no CLIP given; add --set clip=ViT-B-32:/path/to/file (see docs/stages/score.md)"


@dataclass(frozen=True)
class Tools:
    """The networks of one scoring; None where a file was not given."""

    extractor: Extractor
    tail: Extractor
    perceptual: Perceptual | None = None
    classifier: ClassifierJudge | None = None
    clip: ClipJudge | None = None

    @property
    def not_computed(self) -> dict[str, str]:
        """Figures that cannot be had with these tools, and the remedy."""
        missing = {}
        if self.perceptual is None:
            missing["lpips_diversity"] = LPIPS_REMEDY
        if self.classifier is None:
            missing["agreement"] = AGREEMENT_REMEDY
        if self.clip is None:
            missing["clip_agreement, cmmd"] = CLIP_REMEDY
        return missing


def load_tools(settings: ScoreSettings, run: Run, split: Split) -> Tools:
    """Load what the settings name.

    Args:
        settings: of the scoring.
        run: has the tail net and, perhaps, a classifier of its own.
        split: its class order.

    Raises:
        UserError: for a name, file or weights that do not fit.
    """
    tail_file = tail_net_file(run.path / "kmdn")
    tail = load_extractor("tail", tail_file)
    extractor = (
        tail if settings.extractor == "tail" else load_extractor(settings.extractor, tail_file)
    )
    perceptual = load_perceptual(settings.lpips) if settings.lpips else None
    names = [entry.name for entry in split.classes]
    clip = load_clip_judge(settings.clip, names) if settings.clip else None
    path = settings.classifier or own_classifier(run)
    classifier = load_classifier_judge(path, run) if path else None
    return Tools(extractor, tail, perceptual, classifier, clip)
