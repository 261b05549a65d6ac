"""Cheap figures of a generator in training, by a judge that it is not trained against.

They are taken from a few images of each tail class, from fixed noise. No test image is touched:
real images are those of the training part.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tgn.data.image_set import ImageSet
from tgn.data.images import to_u8
from tgn.data.runs import Run
from tgn.metrics.neighbours import nearest_neighbours
from tgn.metrics.precision_and_recall import NEIGHBOURS, neighbour_balls
from tgn.metrics.separability import separability
from tgn.metrics.spectrum import LEVELS, difference_energies, energy_ratio
from tgn.models.extractors import BATCH_SIZE, exact_convolutions, load_extractor
from tgn.models.feature_bank import tail_net_file
from tgn.models.feature_cache import FeatureCache
from tgn.models.feature_networks import FeatureNetwork
from tgn.models.judge import choose_judge
from tgn.models.training_networks import TrainingNetwork
from tgn.probe.judge_classifier import JudgeClassifier, fit_judge_classifier
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.progress import Silent
from tgn.runtime.seeds import generator
from tgn.runtime.training_loop import Job

RATIOS = (0.4, 1.0)  # noise ratios r
DRAWN = 8  # images of a class at each ratio

Sample = Callable[[Tensor, int, float, torch.Generator], Tensor]
"""From real images_u8, their class, r and noise to images_pm1: `GeneratorTrainer.sample`."""


@dataclass(frozen=True)
class PreviewYardstick:
    """The judge, and what it says of the real training images.

    Attributes:
        network: of the judge, on the device.
        classifier: ridge on the judge's features of the real training images of all classes.
        images: these images.
        tail: rows of the tail classes' images.
        features: of all images, [N, D].
        energies: of the finest Haar bands of the tail's images, [T, 3]; None under 8 px.
        device: where the judge computes.
        seed: of the noise and of subsets.
    """

    network: FeatureNetwork
    classifier: JudgeClassifier
    images: ImageSet
    tail: Tensor
    features: Tensor
    energies: Tensor | None
    device: Device
    seed: int

    @torch.inference_mode()
    def figures(self, sample: Sample) -> dict[str, float]:
        """Return the figures of every ratio; those that too few images allow are left out.

        Args:
            sample: generates images from real images of a class.

        Returns:
            Name, with the ratio behind it, -> value: ``separable`` (from training images that are
            no source here; 0.5 cannot be told apart), ``recall`` (of the tail's training images),
            ``own_source``, ``agreement`` and ``energy`` (of the finest bands over real).
        """
        labels = self.images.labels[self.tail].unique()
        rows = torch.cat([self._sources(int(label)) for label in labels])
        found: dict[str, float] = {}
        for ratio in RATIOS:
            drawn_u8 = torch.cat([self._draw(sample, int(label), ratio) for label in labels])
            values = self._values(drawn_u8, rows)
            found |= {f"{name}_r{ratio:g}": value for name, value in values.items()}
        return found

    def _sources(self, label: int) -> Tensor:
        rows = self.images.rows_of(label)
        return rows[torch.arange(DRAWN) % len(rows)]

    def _draw(self, sample: Sample, label: int, ratio: float) -> Tensor:
        real_u8 = self.images.batch(self._sources(label))
        noise = generator(self.seed, "yardstick", label)
        return to_u8(sample(real_u8, label, ratio, noise)).cpu()

    def _values(self, drawn_u8: Tensor, sources: Tensor) -> dict[str, float]:
        network = self.network
        with exact_convolutions():
            drawn = torch.cat(
                [network(self.device.put(p)).float().cpu() for p in drawn_u8.split(BATCH_SIZE)]
            )
        labels, real_labels = self.images.labels[sources], self.images.labels[self.tail]
        real = self.features[self.tail]
        known = self.classifier.probabilities(drawn, sources).argmax(dim=1) == labels
        nearest = self.tail[nearest_neighbours(drawn, real).index]
        values = {"agreement": _mean(known), "own_source": _mean(nearest == sources)}
        if min(len(drawn), len(real)) > NEIGHBOURS:
            values["recall"] = neighbour_balls(drawn, real).recall
        unseen = ~torch.isin(self.tail, sources)
        pair = (labels, real_labels[unseen])
        if apart := separability(drawn, real[unseen], pair, self.seed, sources):
            values["separable"] = apart.accuracy
        if self.energies is not None:
            ours = difference_energies(drawn_u8)
            ratio = energy_ratio(ours, self.energies, labels, real_labels)
            values |= {"energy": float(ratio[0])} if ratio is not None else {}
        return values


def open_yardstick(
    run: Run,
    images: ImageSet,
    job: Job,
    trained_against: Sequence[TrainingNetwork],
    seed: int,
) -> PreviewYardstick | None:
    """Compute the judge's features of the real training images, or take them from the cache.

    All processes must call.

    Args:
        run: split and distilled.
        images: of the training; their size and bands are the generator's.
        job: device and audience.
        trained_against: frozen networks in the losses of the generator.
        seed: of the noise and of subsets.

    Returns:
        None on processes other than the main one, which do not look; and, with a warning, if the
        judge's package is not installed.
    """
    split, file = run.split(), tail_net_file(run.kmdn)
    progress = job.progress if job.device.is_main else Silent()
    try:
        judge = choose_judge(file, trained_against)
        extractor = load_extractor(judge, otherwise="go on without it")
    except UserError as error:
        progress.warn(f"no judge looks at this training: {error}")
        return None
    if len(images) < len(split.train):  # the tail alone; classes are told from all others
        images = split.image_set("train", run.path, images.size, images.bands)
    features = FeatureCache(run.feature_cache, job.device, progress).features(extractor, images)
    if not job.device.is_main:
        return None
    tail = torch.isin(images.labels, torch.tensor([*split.tail_classes])).nonzero().flatten()
    return PreviewYardstick(
        network=job.device.move(extractor.network),
        classifier=fit_judge_classifier(features, images.labels, split.num_classes),
        images=images,
        tail=tail,
        features=features,
        energies=_energies(images, tail),
        device=job.device,
        seed=seed,
    )


def _energies(images: ImageSet, rows: Tensor) -> Tensor | None:
    if images.size < 2**LEVELS:
        return None
    return torch.cat([difference_energies(images.batch(part)) for part in rows.split(BATCH_SIZE)])


def _mean(values: Tensor) -> float:
    return float(values.double().mean())
