"""A network with a probe as its last layer."""

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

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
    sets: Sequence[tuple[ImageSet, Tensor | None]],
    cache: FeatureCache,
) -> TappedNet:
    """Return a pretrained network that begins with the class-weighted ridge probe.

    Views and numbers are the defaults of ``classify probe`` with seed 0, so that all seeds share
    the cached features, and those of such a probe.

    Args:
        backbone: architecture and weights.
        folders: class folders, in the order of the labels.
        sets: training images, each set with the rows that are fitted; None: all. Features are
            computed and cached of whole sets, so that several parts of one need them only once.
        cache: of features.
    """
    network = frozen_network(backbone, folders)
    views = FeatureSettings(networks=backbone.arch, size=backbone.size, bands=backbone.bands)
    tables, labels = [], []
    for images, rows in sets:
        (table,) = training_views([network], images, views, cache)
        tables.append(table if rows is None else table[rows])
        labels.append(images.labels if rows is None else images.labels[rows])
    fitted = fit_probe(
        [torch.cat(tables)],
        [network.parts],
        torch.cat(labels),
        len(folders),
        "ridge",
        views.symmetries,
    )
    return as_classifier(network, fitted, views.symmetries)
