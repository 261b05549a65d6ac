"""Accuracy under other class priors of the test set (label shift)."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tgn.metrics.classification import recalls
from tgn.runtime.errors import UserError

IMBALANCE = 50.0  # largest over smallest class of the shifted test sets


def shifted_accuracies(confusion: Tensor) -> dict[str, float]:
    """Return the accuracy under three class priors of the test set, in [0, 1].

    Sum over classes of prior times recall: uniform; forward, exponential in the order of the
    training counts; backward, the reverse. Source of the protocol: Hong et al. 2021, LADE (arXiv
    2012.00321), section 4. The classifier is not adapted to the prior. Classes without test
    images are left out.

    Args:
        confusion: [C, C], rows are true classes, largest in training first.
    """
    values = recalls(confusion)
    values = values[~values.isnan()]
    place = torch.arange(len(values), dtype=torch.float64) / max(len(values) - 1, 1)
    forward = IMBALANCE**-place
    weights = {"uniform": torch.ones_like(forward), "forward": forward, "backward": forward.flip(0)}
    return {name: float((w * values).sum() / w.sum()) for name, w in weights.items()}


def balanced_assignment(probabilities: Tensor) -> list[int]:
    """Assign classes so that each is predicted equally often; uses the prior of the test set.

    Args:
        probabilities: [N, C].

    Returns:
        N class indices, none more often than ceil(N / C).
    """
    count, classes = probabilities.shape
    return capped_assignment(probabilities, dict.fromkeys(range(classes), -(-count // classes)))


def capped_assignment(probabilities: Tensor, caps: Mapping[int, int]) -> list[int]:
    """Assign classes so that chosen ones are predicted at most so often; uses a test set's prior.

    Class after class, the one furthest above its cap first: its surest images keep it, the others
    move to their best class that is not yet full. Source: the "submission balance" of Yang and Xu
    2021 (CVPRW NTIRE), which caps the classes 0 to 3 at 85 images.

    Differs from the released code: a full class takes no image in. There, what leaves class 1 may
    enter class 0, which in the end has 113 images.

    Args:
        probabilities: [N, C].
        caps: most images of a class, by class index.

    Returns:
        N class indices.

    Raises:
        UserError: if all classes are capped and the caps leave no place for some images.
    """
    count, classes = probabilities.shape
    if len(caps) == classes and sum(caps.values()) < count:
        raise UserError(
            f"the caps of all {classes} classes leave place for {sum(caps.values())} of {count} "
            "images; raise them, or leave a class without"
        )
    remaining = probabilities.double().clone()
    assigned = remaining.argmax(1)
    while True:
        held = torch.bincount(assigned, minlength=classes).tolist()
        above = {k: held[k] - cap for k, cap in caps.items() if held[k] > cap}
        if not above:
            return assigned.tolist()
        k = max(above, key=lambda c: above[c])
        rows = (assigned == k).nonzero().flatten()
        order = remaining[rows, k].argsort(descending=True, stable=True)
        moved = rows[order[caps[k] :]]
        remaining[:, k] = -1.0  # full: no image moves in any more
        assigned[moved] = remaining[moved].argmax(1)


def parse_caps(text: str, folders: Sequence[str]) -> dict[int, int]:
    """Return class index -> most images from ``FOLDER=N,FOLDER=N``.

    Args:
        text: as the user wrote it.
        folders: class folders, in the order of the classes.

    Raises:
        UserError: for another form, an unknown class folder or one that is named twice.
    """
    caps: dict[int, int] = {}
    for pair in text.split(","):
        folder, _, number = (part.strip() for part in pair.rpartition("="))
        if folder not in folders or not number.isdecimal() or folders.index(folder) in caps:
            raise UserError(
                f"--class-caps got {pair.strip()!r}, expected CLASS=N, each class once, e.g. "
                f"{folders[0]}=85,{folders[-1]}=85; classes: {', '.join(folders)}"
            )
        caps[folders.index(folder)] = int(number)
    return caps
