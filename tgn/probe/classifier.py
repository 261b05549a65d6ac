"""A network with a probe as its last layer."""

import copy
from dataclasses import replace

from torch import Tensor

from tgn.data.image_set import ImageSet
from tgn.models.backbones import TappedNet, freeze
from tgn.models.classifier_layers import NormalisedLinear
from tgn.models.feature_cache import FeatureCache
from tgn.models.settings import BackboneSettings
from tgn.probe.features import FrozenNetwork, frozen_network, training_views
from tgn.probe.fit import FittedProbe, GeneratedViews, RealViews, fit_probe, generated_rows
from tgn.probe.settings import GENERATED_SHARE, FeatureSettings
from tgn.probe.views import folded
from tgn.runtime.devices import Device
from tgn.runtime.progress import Progress


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
    real: tuple[ImageSet, Tensor | None],
    cache: FeatureCache,
    generated: ImageSet | None = None,
) -> TappedNet:
    """Return a pretrained network that begins with the class-weighted ridge probe.

    Views and numbers are the defaults of ``classify probe`` with seed 0, so that all seeds share
    the cached features, and those of such a probe.

    Args:
        backbone: architecture and weights.
        folders: class folders, in the order of the labels.
        real: training images and the rows that are fitted; None: all. Features are computed and
            cached of the whole set, so that several parts of it need them only once.
        cache: of features.
        generated: images beside them, or None.
    """
    return _with_ridge(frozen_network(backbone, folders), real, cache, generated)


def refitted_network(
    net: TappedNet, images: ImageSet, device: Device, progress: Progress
) -> TappedNet:
    """Return a trained network whose last layer is fitted anew: the class-weighted ridge probe.

    The features are the network's own, of the views that ``classify probe`` takes by default; none
    are cached. How many views count at test time stays as it was.

    Args:
        net: in eval mode; it is copied.
        images: training images.
        device: where to compute and to put the result.
        progress: shows how far the features are.
    """
    plain = freeze(copy.deepcopy(net))
    network = FrozenNetwork(net.facts.arch, plain, freeze(folded(plain)), "")
    fitted = _with_ridge(network, (images, None), FeatureCache(None, device, progress))
    symmetries = net.facts.test_symmetries
    fitted.facts = replace(fitted.facts, test_symmetries=symmetries, cosine_scale=0.0)
    return device.place(fitted)


def _with_ridge(
    network: FrozenNetwork,
    real: tuple[ImageSet, Tensor | None],
    cache: FeatureCache,
    generated: ImageSet | None = None,
) -> TappedNet:
    facts, (images, rows) = network.net.facts, real
    views = FeatureSettings(networks=facts.arch, size=facts.size, bands=facts.bands)
    (table,) = training_views([network], images, views, cache)
    added = None
    kept = slice(None) if rows is None else rows
    labels = images.labels[kept]
    if generated is not None and len(used := generated_rows(generated.labels, labels)):
        generated = generated.subset(used)
        tables = training_views([network], generated, views, cache)
        added = GeneratedViews(tables, generated.labels, GENERATED_SHARE)
    fitted = fit_probe(
        RealViews([table[kept]], labels, None if images.groups is None else images.groups[kept]),
        [network.parts],
        len(facts.folders),
        "ridge",
        views.symmetries,
        added,
    )
    return as_classifier(network, fitted, views.symmetries)
