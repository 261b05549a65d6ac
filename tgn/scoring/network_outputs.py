"""What the networks say of every image of a comparison: each is applied once, in float32."""

from dataclasses import dataclass

from torch import Tensor

from tgn.metrics.neighbours import Neighbours, nearest_neighbours
from tgn.metrics.spectrum import LEVELS, difference_energies
from tgn.models.extractors import Extractor
from tgn.models.feature_cache import FeatureCache
from tgn.models.feature_networks import FeatureNetwork
from tgn.models.provenance import Provenance
from tgn.probe.judge_classifier import JudgeClassifier, fit_judge_classifier
from tgn.scoring.compared_sets import ComparedSets, FeatureTables
from tgn.scoring.networks import ScoringNetworks

WITHOUT_SOURCE = (
    "real training images; each generated one is classified without its source and the others that "
    "it was made of"
)
SOURCES_UNKNOWN = "real images, perhaps the sources: which they are is not known"
RIDGE_ON = "ridge on "  # in the name of the judge's classifier
SMALLEST_SIDE = 2**LEVELS


class SpectrumFeatures(FeatureNetwork):
    """The energies of the Haar difference bands as features, so that they are kept like those."""

    def __init__(self, bands: int) -> None:
        super().__init__("none", bands)

    def forward(self, images_u8: Tensor) -> Tensor:
        """Return energies [B, 3] of uint8 images [B, bands, H, W]."""
        return difference_energies(images_u8.cpu()).float().to(images_u8.device)


@dataclass(frozen=True)
class NetworkOutputs:
    """What the networks computed for every image.

    Attributes:
        features: of the chosen extractor.
        nearest: nearest compared real image of each generated one, in these features.
        energies: of the Haar difference bands; None for images under 8 px.
        judge: the ridge on the features of the real training images; None without classes.
        classifier: of ``correct``, for a result file.
        correct: bool [N], whether a generated image is assigned to its class; None without classes.
        held_out_correct: the same of held-out images, [H]; None by a given classifier.
        clip_features: unit embeddings of CLIP, if one was given.
        clip_correct: as ``correct``, of CLIP.
    """

    features: FeatureTables
    nearest: Neighbours
    energies: FeatureTables | None = None
    judge: JudgeClassifier | None = None
    classifier: Provenance | None = None
    correct: Tensor | None = None
    held_out_correct: Tensor | None = None
    clip_features: FeatureTables | None = None
    clip_correct: Tensor | None = None


def compute_outputs(
    sets: ComparedSets, networks: ScoringNetworks, cache: FeatureCache
) -> NetworkOutputs:
    """Apply every network to every image, once.

    Args:
        sets: the images.
        networks: of the scoring.
        cache: where features are kept; its device computes.

    Raises:
        UserError: if the images are too small for LPIPS.
    """
    if networks.lpips:
        networks.lpips.check_side(sets.generated.size)
    features = whole_tables(networks.extractor, sets, cache)
    energies = None
    if sets.generated.size >= SMALLEST_SIDE:
        bands = networks.extractor.network.bands
        spectrum = Extractor("spectrum", LEVELS, "", SpectrumFeatures(bands).eval())
        energies = whole_tables(spectrum, sets, cache, with_training=False)
    judge = fitted_judge(sets, features)
    correct, classifier = _agreement(sets, networks, judge, features, cache)
    clip, clip_correct = _clip(sets, networks, cache)
    if networks.lpips:
        cache.device.place(networks.lpips.net)
    return NetworkOutputs(
        features=features,
        nearest=nearest_neighbours(features.generated, features.real),
        energies=energies,
        judge=judge,
        classifier=classifier,
        correct=correct,
        held_out_correct=_held_out_correct(sets, networks, judge, features),
        clip_features=clip,
        clip_correct=clip_correct,
    )


def whole_tables(
    extractor: Extractor,
    sets: ComparedSets,
    cache: FeatureCache,
    with_training: bool = True,
    with_held_out: bool = True,
) -> FeatureTables:
    """Return the features of the images of a comparison.

    Args:
        extractor: the network.
        sets: the images.
        cache: where features are kept.
        with_training: also of the training images that generated ones are not compared with.
        with_held_out: also of the held-out images.
    """
    training = held_out = None
    if with_training:
        training = cache.features(extractor, sets.training)
        real = training[sets.real_rows]
    else:
        real = cache.features(extractor, sets.real)
    if with_held_out and sets.held_out is not None:
        held_out = cache.features(extractor, sets.held_out)
    generated = cache.features(extractor, sets.generated)
    return FeatureTables(generated, real, training, held_out)


def fitted_judge(sets: ComparedSets, features: FeatureTables) -> JudgeClassifier | None:
    """Return the ridge on the training images' features; None without two classes."""
    if features.training is None or not sets.has_several_classes:
        return None
    classes = len(sets.class_folders)
    return fit_judge_classifier(features.training, sets.training.labels, classes)


def judge_provenance(sets: ComparedSets, extractor: Extractor) -> Provenance:
    """Return the provenance of the judge's classifier."""
    is_known = bool((sets.source_rows >= 0).all())
    return extractor.provenance.model_copy(
        update={
            "name": f"{RIDGE_ON}{extractor.name}",
            "seen": WITHOUT_SOURCE if is_known else SOURCES_UNKNOWN,
        }
    )


def _agreement(
    sets: ComparedSets,
    networks: ScoringNetworks,
    judge: JudgeClassifier | None,
    features: FeatureTables,
    cache: FeatureCache,
) -> tuple[Tensor | None, Provenance | None]:
    """Return whether each image is assigned to its class, and by which network."""
    labels = sets.generated.labels
    if networks.classifier:
        probabilities = networks.classifier.probabilities(
            sets.generated, sets.origins, sets.class_folders, cache.device, cache.progress
        )
        provenance = networks.classifier.provenance_for(sets.origins)
        return probabilities.argmax(dim=1) == labels, provenance
    if judge is None:
        return None, None
    probabilities = judge.probabilities(features.generated, sets.made_from)
    return probabilities.argmax(dim=1) == labels, judge_provenance(sets, networks.extractor)


def _held_out_correct(
    sets: ComparedSets,
    networks: ScoringNetworks,
    judge: JudgeClassifier | None,
    features: FeatureTables,
) -> Tensor | None:
    if networks.classifier or judge is None or sets.held_out is None or features.held_out is None:
        return None
    return judge.probabilities(features.held_out).argmax(dim=1) == sets.held_out.labels


def _clip(
    sets: ComparedSets, networks: ScoringNetworks, cache: FeatureCache
) -> tuple[FeatureTables | None, Tensor | None]:
    """Return CLIP's embeddings, and whether it assigns each image to its class."""
    if networks.clip is None:
        return None, None
    extractor = networks.clip.extractor
    generated, real = (cache.features(extractor, part) for part in (sets.generated, sets.real))
    tables = FeatureTables(generated, real)
    if not sets.has_classes:
        return tables, None
    cosines = networks.clip.guide.cosines(generated)
    return tables, cosines.argmax(dim=1) == sets.generated.labels
