"""What a set of generated images is worth, in fresh real images a class."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from tgn.metrics.bootstrap import NUM_RESAMPLES, percentile_interval, resampled_means
from tgn.metrics.equivalent_number import equivalent_number
from tgn.probe.balanced_ridge import BalancedRidge
from tgn.probe.judge_classifier import JudgeClassifier
from tgn.runtime.seeds import generator, seed_of
from tgn.scoring.results import CurvePoint, WorthScore

FOLDS = 5
DRAWS = 2  # of which fresh images are added
SIZES = (1, 2, 5, 10, 20, 40, 80, 160, 320)  # fresh images a class
HOW = (
    f"95% interval over {NUM_RESAMPLES} resamples of the held-out images within each class; the "
    "training images and the generated ones stay as they are"
)


@dataclass(frozen=True)
class LabelledRows:
    """Images as the judge's classifier takes them.

    Attributes:
        rows: float64 [N, D], of :meth:`JudgeClassifier.rows`.
        labels: [N].
    """

    rows: Tensor
    labels: Tensor

    def at(self, index: Tensor) -> "LabelledRows":
        """Return some of the images."""
        return LabelledRows(self.rows[index], self.labels[index])


def worth_in_real_images(
    judge: JudgeClassifier,
    training: LabelledRows,
    generated: LabelledRows,
    held_out: LabelledRows,
    seed: int,
) -> WorthScore | str:
    """Return how many fresh real images a class bring the gain that the generated ones bring.

    A class-weighted ridge classifier on the judge's features is fitted to the real training
    images, alone, with the generated images, and with m fresh real images a class. Fresh images
    and those that accuracy is measured on are both held out: of five folds one is classified by
    fits with images of the other four. Accuracy is the mean over the classes that have both
    generated and held-out images; all classes of the training set compete. Lambda is the one
    chosen for the real training images alone.

    Args:
        judge: fitted to the training images.
        training: all real training images.
        generated: of some classes.
        held_out: real images that neither generator nor judge has seen.
        seed: of folds, draws and resamples.

    Returns:
        The result; or why there is none, in words.
    """
    classes = _measured_classes(generated.labels, held_out.labels)
    if len(classes) == 0:
        return f"no class has both generated images and {FOLDS} or more held-out real ones"
    generated, held_out = (
        part.at(torch.isin(part.labels, classes)) for part in (generated, held_out)
    )
    count = len(judge.fit.head.bias)
    ridge = BalancedRidge(training.rows, training.labels, count, judge.penalty, classes)
    none = held_out.at(torch.arange(0))
    correct = [_is_right(ridge, none, held_out), _is_right(ridge, generated, held_out)]
    sizes, curve = _learning_curve(ridge, held_out, seed)
    table = torch.stack([*correct, *curve], dim=1)  # [H, 2 + sizes]
    return _result(table, torch.tensor([0.0, *sizes]).double(), held_out.labels, generated, seed)


def _measured_classes(generated: Tensor, held_out: Tensor) -> Tensor:
    counts = torch.bincount(held_out, minlength=int(generated.max()) + 1)
    drawn = generated.unique()
    return drawn[counts[drawn] >= FOLDS]


def _is_right(ridge: BalancedRidge, added: LabelledRows, tested: LabelledRows) -> Tensor:
    """Return whether the fit with added rows knows the class of each tested image, float64 [N]."""
    scores = ridge.fit(added.rows, added.labels).scores(tested.rows)
    return (scores.argmax(dim=1) == tested.labels).double()


def _learning_curve(
    ridge: BalancedRidge, held_out: LabelledRows, seed: int
) -> tuple[list[float], list[Tensor]]:
    """Return numbers of added images a class, and the share of draws that knew each image, [H]."""
    orders = [_orders(held_out.labels, seed, draw) for draw in range(DRAWS)]
    folds = orders[0].remainder(FOLDS)
    largest = int((orders[0].max() + 1) * (FOLDS - 1) // FOLDS)
    sizes = [*(size for size in SIZES if size < largest), largest]
    classes = len(held_out.labels.unique())
    curve = [torch.zeros(len(held_out.labels), dtype=torch.float64) for _ in sizes]
    added = [0.0] * len(sizes)
    for order in orders:
        for fold in range(FOLDS):
            tested = (folds == fold).nonzero().flatten()
            for place, fresh in enumerate(_fresh(held_out.labels, order, folds != fold, sizes)):
                right = _is_right(ridge, held_out.at(fresh), held_out.at(tested))
                curve[place][tested] += right / DRAWS
                added[place] += len(fresh) / classes / (FOLDS * DRAWS)
    return added, curve


def _orders(labels: Tensor, seed: int, draw: int) -> Tensor:
    """Return the place of each image in a random order of its class, [H]."""
    order = torch.randperm(len(labels), generator=generator(seed, "worth", draw))
    place = torch.empty_like(labels)
    for label in labels.unique():
        own = order[labels[order] == label]
        place[own] = torch.arange(len(own))
    return place


def _fresh(labels: Tensor, order: Tensor, is_free: Tensor, sizes: list[int]) -> Iterator[Tensor]:
    """Yield the first ``size`` free images of every class in an order, for each size."""
    free = is_free.nonzero().flatten()
    free = free[order[free].argsort()]
    by_class = [free[labels[free] == label] for label in labels.unique()]
    for size in sizes:
        yield torch.cat([own[:size] for own in by_class])


def _result(
    table: Tensor, added: Tensor, labels: Tensor, generated: LabelledRows, seed: int
) -> WorthScore:
    """Return the result of which image is known by which fit.

    Args:
        table: real only, with the generated images, then the curve, [H, 2 + P].
        added: images a class of the curve, from 0, [1 + P].
        labels: of the held-out images.
        generated: the generated images.
        seed: of the resamples.
    """
    classes = labels.unique()
    # The first row is of the images as they are, the others of resamples.
    accuracy = torch.zeros(1 + NUM_RESAMPLES, table.shape[1], dtype=torch.float64)
    for label in classes.tolist():
        own = table[labels == label]
        resampled = resampled_means(own, seed_of(seed, "worth", label))
        accuracy += torch.cat([own.mean(0, keepdim=True), resampled]) / len(classes)
    real, reached, curve = (
        accuracy[:, 0],
        accuracy[:, 1],
        accuracy[:, [0, *range(2, table.shape[1])]],
    )
    worth = equivalent_number(added, curve, reached)
    most = float(added[-1])
    ends = percentile_interval(worth[1:].clamp(max=most))
    gain = reached - real
    gains = percentile_interval(gain[1:])
    return WorthScore(
        images_per_class=min(float(worth[0]), most),
        images_low=ends.low,
        images_high=ends.high,
        most=most,
        is_at_least=bool(worth[0].isinf()),
        gain=float(gain[0]),
        gain_low=gains.low,
        gain_high=gains.high,
        accuracy_real=float(real[0]),
        accuracy_with_generated=float(reached[0]),
        curve=tuple(
            CurvePoint(images_per_class=x, gain=y - float(real[0]))
            for x, y in zip(added[1:].tolist(), curve[0, 1:].tolist(), strict=True)
        ),
        num_generated=len(generated.labels),
        num_held_out=len(labels),
        num_classes=len(classes),
        interval=HOW,
    )
