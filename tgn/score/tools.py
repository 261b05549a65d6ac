"""What a scoring is made with: its settings, and the networks they name or how to get them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from tgn.core.backbones import load_classifier
from tgn.core.config import Settings
from tgn.core.data import ImageSet
from tgn.core.devices import Device
from tgn.core.errors import UserError
from tgn.core.files import sha256_of
from tgn.core.progress import Progress
from tgn.score.extractors import Extractor, apply_network, load_extractor
from tgn.score.frechet import MIN_COUNT_FOR_FID
from tgn.score.networks import ClassLogits
from tgn.score.perceptual import BACKBONES, Perceptual, load_perceptual
from tgn.score.results import Provenance

LPIPS_REMEDY = (
    "no backbone file given; fetch the weights of torchvision's alexnet, vgg16 or squeezenet1_1 "
    "(squeezenet1_0 does not fit) and add --set lpips=alex:FILE, vgg:FILE or squeeze:FILE"
)
AGREEMENT_REMEDY = (
    "no classifier given; train one on real images only (classify train) and add "
    "--set classifier=FILE"
)


class ScoreSettings(Settings):
    """Settings of ``tgn score``."""

    extractor: str = Field(
        "tail", description="tail, inception:FILE, or NAME:FILE of a torchvision or timm network"
    )
    lpips: str | None = Field(None, description=f"{'|'.join(BACKBONES)}:FILE, else not computed")
    classifier: Path | None = Field(
        None, description="classifier checkpoint that judges the class of generated images"
    )
    size: int | None = Field(
        None, ge=16, description="side at which both sets are read; default: the generated images'"
    )
    min_count_for_fid: int = Field(
        MIN_COUNT_FOR_FID, ge=2, description="FID is reported only if both sets have this many"
    )
    seed: int = Field(0, description="of subsets and pairs")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU if any")


@dataclass(frozen=True)
class Classifier:
    """A classifier that judges generated images.

    Attributes:
        weights_sha256: of its file.
        network: bytes to logits.
    """

    weights_sha256: str
    network: ClassLogits

    @property
    def provenance(self) -> Provenance:
        """What it is, for the result."""
        return Provenance(
            name=self.network.arch,
            dimension=len(self.network.folders),
            weights_sha256=self.weights_sha256,
            resize=self.network.resize_rule,
        )

    def predictions(
        self, images: ImageSet, folders: list[str], device: Device, progress: Progress
    ) -> Tensor:
        """Predicted classes of a set.

        Args:
            images: N images.
            folders: class folders in the order of the wanted class indices.
            device: where to compute.
            progress: told of every batch.

        Returns:
            Class indices, int64 [N]; -1 where the classifier names a class not in ``folders``.

        Raises:
            UserError: if it does not know a class that the set holds.
        """
        known = self.network.folders
        needed = {folders[k] for k in torch.unique(images.labels).tolist()}
        if unknown := sorted(needed - set(known)):
            raise UserError(
                f"the classifier does not know the classes {', '.join(unknown)}; it knows: "
                f"{', '.join(known)}; give one trained on this run: --set classifier=FILE"
            )
        progress.start("classifier agreement", len(images))
        index_of = {folder: k for k, folder in enumerate(folders)}
        place = torch.tensor([index_of.get(folder, -1) for folder in known])
        return place[apply_network(self.network, images, device, progress).argmax(dim=1)]


@dataclass(frozen=True)
class Tools:
    """The networks of one scoring; None where a file was not given."""

    extractor: Extractor
    tail: Extractor
    perceptual: Perceptual | None = None
    classifier: Classifier | None = None

    @property
    def not_computed(self) -> dict[str, str]:
        """Figures that cannot be had with these tools, and the remedy."""
        missing = {}
        if self.perceptual is None:
            missing["lpips_diversity"] = LPIPS_REMEDY
        if self.classifier is None:
            missing["agreement"] = AGREEMENT_REMEDY
        return missing


def load_tools(settings: ScoreSettings, tail_file: Path) -> Tools:
    """Load what the settings name.

    Args:
        settings: of the scoring.
        tail_file: checkpoint of the run's tail net.

    Raises:
        UserError: for a name, file or weights that do not fit.
    """
    tail = load_extractor("tail", tail_file)
    extractor = (
        tail if settings.extractor == "tail" else load_extractor(settings.extractor, tail_file)
    )
    perceptual = load_perceptual(settings.lpips) if settings.lpips else None
    classifier = None
    if settings.classifier:
        network = ClassLogits(load_classifier(settings.classifier))
        classifier = Classifier(sha256_of(settings.classifier), network)
    return Tools(extractor, tail, perceptual, classifier)
