"""A network with a probe as its last layer."""

import copy
from dataclasses import replace

import torch

from tgn.data.image_set import ImageSet
from tgn.models.backbones import TappedNet
from tgn.models.classifier_layers import NormalisedLinear
from tgn.models.feature_cache import FeatureCache
from tgn.models.settings import BackboneSettings
from tgn.probe.features import FrozenNetwork, frozen_network, training_views
from tgn.probe.fit import FittedProbe, fit_probe
from tgn.probe.settings import FeatureSettings


def as_classifier(network: FrozenNetwork, fitted: FittedProbe, symmetries: int) -> TappedNet:
    """Return the network with the probe as its last layer: images_pm1 of one view to logits.

    Args:
        network: the frozen network.
        fitted: a probe on its features alone.
        symmetries: views of an image whose mean logits count, as its facts will say.
    """
    classifier = copy.deepcopy(network.net)
    layer = NormalisedLinear(network.parts, len(classifier.facts.folders))
    (mean,) = fitted.normalisation.means
    head = fitted.head
    layer.load_state_dict({"mean": mean, "weight": head.weight, "bias": head.bias})
    classifier.replace_classifier(layer)
    classifier.facts = replace(
        classifier.facts, probe_parts=network.parts, test_symmetries=symmetries
    )
    return classifier.eval()


def probed_network(
    backbone: BackboneSettings,
    folders: tuple[str, ...],
    sets: list[ImageSet],
    cache: FeatureCache,
) -> TappedNet:
    """Return a pretrained network that begins with the class-weighted ridge probe.

    Views and numbers are the defaults of ``classify probe`` with seed 0, so that all seeds share
    the cached features, and those of such a probe.

    Args:
        backbone: architecture and weights.
        folders: class folders, in the order of the labels.
        sets: training images.
        cache: of features.
    """
    network = frozen_network(backbone, folders)
    views = FeatureSettings(networks=backbone.arch, size=backbone.size, bands=backbone.bands)
    tables = zip(*(training_views([network], part, views, cache) for part in sets), strict=True)
    fitted = fit_probe(
        [torch.cat(parts) for parts in tables],
        [network.parts],
        torch.cat([part.labels for part in sets]),
        len(folders),
        "ridge",
        views.symmetries,
    )
    return as_classifier(network, fitted, views.symmetries)
