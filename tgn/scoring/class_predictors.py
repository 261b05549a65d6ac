"""Who judges the class of a generated image: a classifier, its folds, or CLIP."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tgn.data.image_set import ImageSet
from tgn.data.prompts import prompts_of
from tgn.data.runs import Run
from tgn.data.splits.folds import FOLDS, read_folds
from tgn.models.backbones import load_classifier
from tgn.models.clip import ClipGuide, load_clip
from tgn.models.extractors import Extractor, apply_network, clip_extractor
from tgn.models.feature_networks import ClassLogits
from tgn.models.provenance import Provenance
from tgn.runtime.devices import Device
from tgn.runtime.errors import NotFoundError, UserError
from tgn.runtime.files import read_json, sha256_of
from tgn.runtime.progress import Progress

CHECKPOINT, METRICS = "classifier.safetensors", "metrics.json"
SEEN = "trained on the source images: agreement is flattered"
NOT_SEEN = "folds: no image is judged by a net that was trained on its source"
UNKNOWN = "not trained by this run: whether it knows the source images is not recorded"


@dataclass(frozen=True)
class ClassifierJudge:
    """One classifier, or several of which each judges its own part.

    Attributes:
        networks: bytes to logits, at least one.
        fold_of: source file to the number of its network; a file that is not there goes to 0.
        weights_sha256: of the file, or of all files.
        seen: what is known about whether it was trained on the source images.
    """

    networks: tuple[ClassLogits, ...]
    fold_of: dict[str, int]
    weights_sha256: str
    seen: str

    @property
    def provenance(self) -> Provenance:
        """What it is, for the result."""
        first = self.networks[0]
        return Provenance(
            name=first.arch,
            dimension=len(first.folders),
            weights_sha256=self.weights_sha256,
            resize=first.resize_rule,
            seen=self.seen,
        )

    def probabilities(
        self,
        images: ImageSet,
        sources: Sequence[str],
        folders: Sequence[str],
        device: Device,
        progress: Progress,
    ) -> Tensor:
        """Class probabilities of a set.

        Args:
            images: N images.
            sources: the source file of each, as the split names it.
            folders: class folders in the order of the wanted class indices.
            device: where to compute.
            progress: told of every batch.

        Returns:
            [N, C + 1]; the last column is the sum over classes that are not in ``folders``.

        Raises:
            UserError: if it does not know a class that the set holds.
        """
        progress.start("classifier agreement", len(images))
        fold = torch.tensor([self.fold_of.get(source, 0) for source in sources])
        found = torch.zeros(len(images), len(folders) + 1)
        for number, network in enumerate(self.networks):
            rows = (fold == number).nonzero().flatten()
            if len(rows):
                part = images.subset(rows)
                place = _places(network.folders, folders, part)
                known = apply_network(network, part, device, progress).softmax(dim=1)
                found[rows] = found[rows].index_add(1, place, known)
        return found


@dataclass(frozen=True)
class ClipJudge:
    """A CLIP with the prompts of the run's classes."""

    guide: ClipGuide
    extractor: Extractor


def own_classifier(run: Run) -> Path | None:
    """Return the run's newest classifier, or folder of folds, that saw real images only."""
    root = run.path / "classify"
    folds = [path.parent for path in root.glob(f"*/{FOLDS}")]
    single = [
        path.with_name(CHECKPOINT)
        for path in root.glob(f"*/{METRICS}")
        if path.with_name(CHECKPOINT).is_file() and not read_json(path).get("generated_images")
    ]
    # Folds are the better judges, whenever they were trained.
    for found in (folds, single):
        if found:
            return max(found, key=lambda path: path.stat().st_mtime_ns)
    return None


def load_classifier_judge(path: Path, run: Run) -> ClassifierJudge:
    """Load a checkpoint, or a folder that ``classify train --folds`` wrote.

    Raises:
        UserError: if nothing usable is there.
    """
    if path.is_dir():
        return _folded(path)
    inside = path.resolve().is_relative_to(run.path.resolve())
    network = ClassLogits(load_classifier(path))
    return ClassifierJudge((network,), {}, sha256_of(path), SEEN if inside else UNKNOWN)


def load_clip_judge(spec: str, names: list[str]) -> ClipJudge:
    """Load a CLIP through open_clip, with the prompts of the classes.

    Raises:
        UserError: for an unknown architecture or weights that cannot be had.
    """
    guide = load_clip(spec, prompts_of(names)).freeze()
    return ClipJudge(guide, clip_extractor(spec, guide))


def _folded(folder: Path) -> ClassifierJudge:
    if not (folder / FOLDS).is_file():
        raise NotFoundError(
            f"{folder} has no {FOLDS}; give a checkpoint file or what classify train --folds wrote"
        )
    folds = read_folds(folder)
    files = [folds.directory(folder, k) / CHECKPOINT for k in range(folds.count)]
    networks = tuple(ClassLogits(load_classifier(file)) for file in files)
    hashes = " ".join(sha256_of(file) for file in files)
    return ClassifierJudge(networks, folds.fold_of, hashes, NOT_SEEN)


def _places(known: Sequence[str], folders: Sequence[str], images: ImageSet) -> Tensor:
    """The index in ``folders`` of each class a classifier knows, their number for others, [C]."""
    needed = {folders[k] for k in torch.unique(images.labels).tolist()}
    if unknown := sorted(needed - set(known)):
        raise UserError(
            f"the classifier does not know the classes {', '.join(unknown)}; it knows: "
            f"{', '.join(known)}; give one trained on this run: --set classifier=FILE"
        )
    index_of = {folder: k for k, folder in enumerate(folders)}
    return torch.tensor([index_of.get(folder, len(folders)) for folder in known])
