"""Soft labels of generated images: half by their class, half by a judge."""

import torch
from torch import Tensor
from torch.nn import functional as F

from classify.training.context import TrainingContext
from classify.training.generated_images import GeneratedSet
from classify.training.settings import TrainSettings
from tgn.data.image_set import ImageSet
from tgn.models.feature_cache import FeatureCache
from tgn.models.settings import PACKAGED, BackboneSettings
from tgn.probe.features import frozen_network, symmetric_views
from tgn.probe.judge_classifier import fit_judge_classifier
from tgn.probe.settings import SymmetrySettings


def mean_of_labels(labels: Tensor, probabilities: Tensor) -> Tensor:
    """Return the mean of one-hot labels and a judge's probabilities.

    An image between two classes is learned as such. The mean of a given label and a prediction is
    soft bootstrapping (Reed et al. 2015, arXiv 1412.6596) with beta = 1/2. Differs from the paper:
    the prediction is a judge's, not the network's own.

    Args:
        labels: [N].
        probabilities: [N, C], sum 1.

    Returns:
        [N, C], sum 1.
    """
    return (F.one_hot(labels, probabilities.shape[1]) + probabilities) / 2


def soft_labels(context: TrainingContext, real: ImageSet, generated: GeneratedSet) -> Tensor:
    """Return the soft label of each generated image, [N, C].

    The judge is the class-weighted ridge probe on the real training images, by the fit without the
    images that the generated one was made of. Its features are those of the pretrained network
    that is trained, frozen, or where that is trained from scratch of EfficientNet-Lite0; means over
    8 symmetries.

    Args:
        context: of the job.
        real: training images.
        generated: images to label.
    """
    backbone = _judge(context.settings)
    network = frozen_network(backbone, context.folders)
    views = SymmetrySettings(networks=backbone.arch, size=backbone.size, bands=backbone.bands)
    cache = FeatureCache(context.features, context.device, context.progress)

    def features(images: ImageSet) -> Tensor:
        return symmetric_views([network], images.at_size(backbone.size), views, cache)[0].mean(1)

    judge = fit_judge_classifier(features(real), real.labels, len(context.folders))
    made_from = _within(generated.made_from, context)
    probabilities = judge.probabilities(features(generated.images), made_from)
    return mean_of_labels(generated.images.labels, probabilities)


def _judge(settings: TrainSettings) -> BackboneSettings:
    if settings.is_pretrained:
        return settings
    fields = TrainSettings.model_fields
    return BackboneSettings(
        arch=fields["arch"].default,
        weights=PACKAGED,
        size=fields["size"].default,
        bands=settings.bands,
    )


def _within(made_from: Tensor, context: TrainingContext) -> Tensor:
    """Return rows of the run's training part as rows of those that are trained on, -1 of others."""
    if context.images.part_of is None:
        return made_from
    _, kept = context.images.part_of
    row_of = torch.full((len(context.split.train) + 1,), -1)
    row_of[kept] = torch.arange(len(kept))
    return row_of[made_from]
