"""The default judge of generated images: an ImageNet network that no generator was trained against.

A generator learns to please the networks in its losses, so their features flatter it. The judge has
seen none of the run's images, and its weights come with pip.
"""

from collections.abc import Collection
from pathlib import Path

from tgn.models.classifier_facts import read_facts
from tgn.models.pretrained import IMAGENET
from tgn.models.training_networks import TrainingNetwork, tail_net_networks

AUTO = "auto"
IMAGENET_PREFIX = "imagenet/"
JUDGES = ("mobilenetv2_100", "tf_efficientnet_lite0")  # the first that was not used is taken


def choose_judge(
    tail_net: Path | None = None, trained_against: Collection[TrainingNetwork] = ()
) -> str:
    """Return the name of the extractor that ``auto`` stands for.

    Args:
        tail_net: the run's tail net, if it has one: its architecture and start weights are out.
        trained_against: networks that the losses of the generator used: they are out, too.

    Returns:
        ``imagenet/ARCH``: MobileNetV2, else EfficientNet-Lite0.
    """
    networks = list(trained_against)
    archs = set()
    if tail_net is not None and tail_net.is_file():
        facts = read_facts(tail_net)
        archs = {facts.arch} if facts else set()
        networks += tail_net_networks(tail_net)
    hashes = {network.sha256 for network in networks}
    free = [arch for arch in JUDGES if arch not in archs and IMAGENET[arch].sha256 not in hashes]
    return IMAGENET_PREFIX + (free or JUDGES)[0]
