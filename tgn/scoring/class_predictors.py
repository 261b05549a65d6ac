"""Networks that predict the class of a generated image: a classifier, or its folds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tgn.data.image_set import ImageSet
from tgn.data.run_layout import CHECKPOINT
from tgn.data.runs import Run
from tgn.data.splits.folds import FOLDS, read_folds
from tgn.models.backbones import load_classifier
from tgn.models.extractors import apply_network
from tgn.models.feature_networks import ClassLogits
from tgn.models.provenance import Provenance
from tgn.runtime.devices import Device
from tgn.runtime.errors import NotFoundError, UserError
from tgn.runtime.files import sha256_of
from tgn.runtime.progress import Progress

SEEN = "trained on the source images: agreement is biased upwards"
NOT_SEEN = "folds: each image is classified by a net that was not trained on its source"
PARTLY_SEEN = f"{NOT_SEEN}, but, of {{count}} images, on others that have parts in them"
UNKNOWN = "not trained by this run: whether it was trained on the source images is unknown"


@dataclass(frozen=True)
class ClassPredictor:
    """A classifier, or the classifiers of several folds.

    Attributes:
        networks: uint8 images to logits, one for each fold.
        fold_of: source file to the number of the network that classifies its images; 0 for others.
        weights_sha256: of the file, or of all files.
        seen: whether it was trained on the source images, in words.
    """

    networks: tuple[ClassLogits, ...]
    fold_of: dict[str, int]
    weights_sha256: str
    seen: str

    def provenance_for(self, origins: Sequence[tuple[str, ...]]) -> Provenance:
        """Return the network, its weights and its resize rule, for a result file.

        Args:
            origins: of each image, as of `ComparedSets`.
        """
        first, seen = self.networks[0], self.seen
        mixed = [len({self.fold_of.get(file) for file in own}) > 1 for own in origins]
        if self.fold_of and any(mixed):
            seen = PARTLY_SEEN.format(count=sum(mixed))
        return Provenance(
            name=first.arch,
            dimension=len(first.folders),
            weights_sha256=self.weights_sha256,
            resize=first.resize_rule,
            seen=seen,
        )

    def probabilities(
        self,
        images: ImageSet,
        origins: Sequence[tuple[str, ...]],
        folders: Sequence[str],
        device: Device,
        progress: Progress,
    ) -> Tensor:
        """Return the class probabilities of a set.

        Args:
            images: N images.
            origins: the files that each was made of, as the split names them, the source first.
            folders: class folders in the order of the labels.
            device: where to compute.
            progress: advanced after every batch.

        Returns:
            [N, C + 1]; the last column is the sum over classes that are not in ``folders``.

        Raises:
            UserError: if it was not trained on a class of the set.
        """
        progress.start("classifier agreement", len(images))
        fold = torch.tensor([self.fold_of.get(source, 0) for source, *_ in origins])
        probabilities = torch.zeros(len(images), len(folders) + 1)
        for number, network in enumerate(self.networks):
            rows = (fold == number).nonzero().flatten()
            if len(rows):
                part = images.subset(rows)
                columns = _columns(network.folders, folders, part)
                given = apply_network(network, part, device, progress).softmax(dim=1)
                probabilities[rows] = probabilities[rows].index_add(1, columns, given)
        return probabilities


def load_class_predictor(path: Path, run: Run | None) -> ClassPredictor:
    """Load a checkpoint, or a folder that ``classify train --folds`` wrote.

    Args:
        path: the checkpoint or folder.
        run: the run of the images, if any: a checkpoint within it was trained on their sources.

    Raises:
        UserError: if the path is neither.
    """
    if path.is_dir():
        return _folded(path)
    inside = run is not None and path.resolve().is_relative_to(run.path.resolve())
    network = ClassLogits(load_classifier(path))
    return ClassPredictor((network,), {}, sha256_of(path), SEEN if inside else UNKNOWN)


def _folded(folder: Path) -> ClassPredictor:
    if not (folder / FOLDS).is_file():
        raise NotFoundError(
            f"{folder} has no {FOLDS}; give a checkpoint file or what classify train --folds wrote"
        )
    folds = read_folds(folder)
    files = [folds.directory(folder, k) / CHECKPOINT for k in range(folds.count)]
    networks = tuple(ClassLogits(load_classifier(file)) for file in files)
    hashes = " ".join(sha256_of(file) for file in files)
    return ClassPredictor(networks, folds.fold_of, hashes, NOT_SEEN)


def _columns(known: Sequence[str], folders: Sequence[str], images: ImageSet) -> Tensor:
    """Return the index in ``folders`` of each known class, [C]; their number for others."""
    needed = {folders[k] for k in torch.unique(images.labels).tolist()}
    if unknown := sorted(needed - set(known)):
        raise UserError(
            f"the classifier does not know the classes {', '.join(unknown)}; it knows: "
            f"{', '.join(known)}; give one trained on these classes: --set classifier=FILE"
        )
    index_of = {folder: k for k, folder in enumerate(folders)}
    return torch.tensor([index_of.get(folder, len(folders)) for folder in known])
