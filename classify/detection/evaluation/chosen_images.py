"""Some images of a data set, chosen by name, or by how badly a detector does on them."""

from collections import defaultdict
from collections.abc import Sequence
from difflib import get_close_matches

from classify.detection.average_precision import Detections
from classify.detection.data.dataset import DetectionDataset
from classify.detection.evaluation.analysis.counts import worst_first
from classify.detection.evaluation.analysis.outcomes import image_outcomes
from classify.detection.evaluation.evaluate import ground_truths
from tgn.runtime.errors import UserError

CLOSE = 3  # names that an error suggests


def choose_images(data: DetectionDataset, names: Sequence[str]) -> DetectionDataset:
    """Return the images with some names, in the order of the names.

    Args:
        data: images.
        names: file names, stems, or the last folders and the file name (``a/b.png``); one that
            fits several images stands for all of them.

    Raises:
        UserError: for names that no image has, with the closest ones.
    """
    known = check_names(data, names)
    chosen = dict.fromkeys(index for name in names for index in known[_plain(name)])
    return DetectionDataset(data.classes, tuple(data.images[k] for k in chosen))


def check_names(
    data: DetectionDataset, names: Sequence[str], source: str = ""
) -> dict[str, list[int]]:
    """Return the numbers of the images that each name fits, of all names there are.

    Args:
        data: images.
        names: see :func:`choose_images`.
        source: of the names, for the error.

    Raises:
        UserError: for names that no image has, with the closest ones.
    """
    by_name = defaultdict(list)
    for index, image in enumerate(data.images):
        parts = image.path.parts
        below = ("/".join(parts[start:]) for start in range(len(parts)))
        for name in {*below, image.path.as_posix(), image.path.stem}:
            by_name[name].append(index)
    if unknown := [name for name in map(_plain, names) if name not in by_name]:
        files = [image.path.name for image in data.images]
        close = get_close_matches(unknown[0], files, CLOSE, cutoff=0.5) or files[:CLOSE]
        more = f" (and {len(unknown) - 1} more)" if len(unknown) > 1 else ""
        raise UserError(
            f"no image {unknown[0]!r}{more}{source} among the {len(files)}; there are, e.g.: "
            + ", ".join(close)
        )
    return dict(by_name)


def _plain(name: str) -> str:
    return name.strip().replace("\\", "/")


def first_images(data: DetectionDataset, count: int) -> DetectionDataset:
    """Return the first images."""
    return DetectionDataset(data.classes, data.images[:count])


def order_of_worst(
    data: DetectionDataset, detections: Sequence[Detections], min_score: float
) -> list[int]:
    """Return the numbers of the images, those with the lowest F1 at a score first."""
    pairs = zip(ground_truths(data), detections, strict=True)
    return worst_first([image_outcomes(*pair, min_score) for pair in pairs])
