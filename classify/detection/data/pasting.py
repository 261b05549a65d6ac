"""Copy-paste augmentation: objects of rare classes at free places of training images.

Sources: Dwibedi et al. 2017 (Cut, Paste and Learn, arXiv 1708.01642): objects with a soft border at
random places. Ghiasi et al. 2021 (Simple Copy-Paste, arXiv 2012.07177): random places suffice.
Differs from both: there are no masks, so that the soft border begins at the object's box.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from classify.detection.boxes.polygons import fit_rectangles
from classify.detection.boxes.rotated import to_corners, to_upright
from classify.detection.data.dataset import DetectionDataset, DetectionImage
from classify.detection.data.pasted_objects import Cutout, ObjectPictures, turned_corners
from classify.detection.data.samples import DetectionSample
from classify.detection.settings.augmentation import AugmentationSettings, Flips
from tgn.data.annotations.types import corners_of_box
from tgn.data.augmentation import dihedral

MOST = 3  # objects that an image gets
TRIES = 20  # places that are looked at
MAX_OVERLAP = 0.1  # with an object there, as a share of the smaller box
MIN_SIDE = 4  # of a scaled picture, in pixels
# Symmetries in which images may be seen; where up and down are alike, so are left and up.
CODES: dict[Flips, tuple[int, ...]] = {
    "both": tuple(range(8)),
    "horizontal": (0, 4),
    "vertical": (0, 6),
    "diagonal": (0, 2),
    "none": (0,),
}


def symmetries(settings: AugmentationSettings) -> tuple[int, ...]:
    """Return the codes of the symmetries, as `dihedral` has them, in which objects are pasted."""
    codes = CODES[settings.flips]
    if not settings.quarter_turns:
        return codes
    return tuple(range(8 if max(codes) >= 4 else 4))


def object_sizes(data: DetectionDataset) -> dict[int, Tensor]:
    """Return the longer sides of each class's boxes, in pixels of their image; no crowds."""
    found: dict[int, list[Tensor]] = {}
    for image in data.images:
        boxes = image.boxes
        sides = boxes[:, 2:4] if boxes.shape[1] == 5 else boxes[:, 2:] - boxes[:, :2]
        longer = sides.amax(dim=1)
        for label in image.labels[~image.crowd].unique().tolist():
            own = (image.labels == label) & ~image.crowd
            found.setdefault(label, []).append(longer[own])
    return {label: torch.cat(sizes) for label, sizes in found.items()}


@dataclass(frozen=True)
class Pasting:
    """Pastes objects into samples.

    Attributes:
        sources: of pictures of the objects, all equally likely.
        sizes: label -> longer sides in pixels, of which that of a pasted object is drawn.
        share: of the images that get objects.
        codes: of the symmetries in which they are pasted.
        in_words: what is pasted.
        digest: changes with the pictures; "" for those of the training images themselves.
    """

    sources: tuple[ObjectPictures, ...]
    sizes: dict[int, Tensor]
    share: float
    codes: tuple[int, ...]
    in_words: str = ""
    digest: str = ""

    def paste(
        self, sample: DetectionSample, image: DetectionImage, rng: torch.Generator
    ) -> DetectionSample:
        """Paste one to three objects, or none, into an image.

        Args:
            sample: the image as it is read.
            image: with all its boxes, crowds too.
            rng: what is drawn depends on it alone.

        Raises:
            DataError: naming the picture that cannot be read.
        """
        if float(torch.rand((), generator=rng)) >= self.share:
            return sample
        taken = to_upright(image.boxes) if image.boxes.shape[1] == 5 else image.boxes
        pixels = sample.image_u8.clone()
        boxes, labels = [sample.boxes], [sample.labels]
        for _ in range(1 + _drawn(MOST, rng)):
            label, cutout = self._drawn_object(rng)
            box = paste_cutout(pixels, cutout, taken, rng, rotated=sample.boxes.shape[1] == 5)
            if box is not None:
                boxes.append(box[None])
                labels.append(torch.tensor([label]))
                taken = torch.cat((taken, to_upright(box[None]) if len(box) == 5 else box[None]))
        return DetectionSample(pixels, torch.cat(boxes), torch.cat(labels))

    def _drawn_object(self, rng: torch.Generator) -> tuple[int, Cutout]:
        """Return a class, all equally likely, and a picture of it, turned and at its size."""
        labels = sorted(set().union(*(source.counts for source in self.sources)))
        label = labels[_drawn(len(labels), rng)]
        able = [source for source in self.sources if label in source.counts]
        # Nothing is drawn where there is no choice: a training with one source goes on as it was.
        source = able[_drawn(len(able), rng)] if len(able) > 1 else able[0]
        image_u8, corners = source.read(label, _drawn(source.counts[label], rng))
        sizes = self.sizes[label]
        size = float(sizes[_drawn(len(sizes), rng)])
        code = self.codes[_drawn(len(self.codes), rng)]
        turned = Cutout(dihedral(image_u8[None], code)[0], turned_corners(corners, code))
        return label, scaled_cutout(turned, size)


def scaled_cutout(cutout: Cutout, size: float) -> Cutout:
    """Scale a picture so that its object has a longer side of ``size`` pixels."""
    first, second, third = cutout.corners[:3]
    longer = float(torch.stack((first - second, second - third)).norm(dim=1).max())
    side = max(round(size / longer), MIN_SIDE)
    pixels = F.interpolate(
        cutout.image_u8[None].float(), (side, side), mode="bilinear", antialias=True
    )
    return Cutout(pixels[0].round().clamp(0, 255).to(torch.uint8), cutout.corners)


def paste_cutout(
    image_u8: Tensor, cutout: Cutout, taken: Tensor, rng: torch.Generator, rotated: bool
) -> Tensor | None:
    """Paste an object at a free place, in place.

    Args:
        image_u8: the image, [3, H, W]; changed.
        cutout: the object, at its size.
        taken: upright boxes [N, 4] of the objects there, in pixels.
        rng: draws the place.
        rotated: whether the box keeps its angle.

    Returns:
        Its box, [4] or [5] in pixels of the image; None if no place was found.
    """
    side = cutout.image_u8.shape[1]
    corners = cutout.corners * side
    box = _box(corners, rotated)
    outline = to_corners(box[None])[0] if rotated else torch.tensor(corners_of_box(*box.tolist()))
    lower, upper = outline.amin(dim=0), outline.amax(dim=0)
    feather = max(float(torch.minimum(lower, side - upper).min()), 1.0)
    limit = lower.new_tensor([image_u8.shape[2], image_u8.shape[1]])
    room = limit - (upper - lower)
    if (room < 0).any():
        return None
    places = torch.rand(TRIES, 2, generator=rng) * room
    origins = (places - lower).round().clamp(min=-lower.floor())
    spread = torch.cat((lower - feather, upper + feather))
    free = (largest_overlap(spread + origins.repeat(1, 2), taken) <= MAX_OVERLAP).nonzero()
    if len(free) == 0:
        return None
    origin = origins[int(free[0])]
    _blend(image_u8, cutout.image_u8, soft_mask(outline, side, feather), origin.int().tolist())
    box = box.clone()
    box[:2] += origin
    if not rotated:
        box[2:] += origin
        box = torch.minimum(box.clamp(min=0), limit.repeat(2))
    return box


def largest_overlap(boxes: Tensor, others: Tensor) -> Tensor:
    """Return of each box [M, 4] its largest overlap [M] with others [N, 4], N may be 0.

    It is a share of the smaller box of the two.
    """
    if len(others) == 0:
        return boxes.new_zeros(len(boxes))
    lower = torch.maximum(boxes[:, None, :2], others[None, :, :2])
    upper = torch.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = (upper - lower).clamp(min=0).prod(dim=2)
    areas = [(some[:, 2:] - some[:, :2]).prod(dim=1) for some in (boxes, others)]
    smaller = torch.minimum(areas[0][:, None], areas[1][None])
    return (shared / smaller.clamp(min=1e-9)).amax(dim=1)


def soft_mask(outline: Tensor, side: int, feather: float) -> Tensor:
    """Return a mask [S, S]: 1 in a rectangle, falling smoothly to 0 outside of it.

    Args:
        outline: corners [4, 2] of the rectangle in pixels, in order round it.
        side: S.
        feather: distance in pixels over which it falls, > 0.
    """
    centres = torch.arange(side, dtype=torch.float32) + 0.5
    places = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=2)  # [S, S, 2]
    edges = outline.roll(-1, dims=0) - outline
    normals = torch.stack((edges[:, 1], -edges[:, 0]), dim=1)
    normals = normals / normals.norm(dim=1, keepdim=True).clamp(min=1e-6)
    inward = ((outline.mean(dim=0) - outline) * normals).sum(dim=1) > 0
    normals = torch.where(inward[:, None], -normals, normals)
    outside = ((places[:, :, None] - outline) * normals).sum(dim=3).amax(dim=2)
    falling = (1 - outside / feather).clamp(0, 1)
    return falling * falling * (3 - 2 * falling)


def _box(corners: Tensor, rotated: bool) -> Tensor:
    if rotated:
        return fit_rectangles(corners[None].double())[0].float()
    return torch.cat((corners.amin(dim=0), corners.amax(dim=0)))


def _blend(image_u8: Tensor, pasted_u8: Tensor, mask: Tensor, origin: list[int]) -> None:
    """Mix a square picture into an image, in place; what lies beyond the border is cut off."""
    left, top = origin
    side, (height, width) = len(mask), image_u8.shape[1:]
    rows = slice(max(top, 0), min(top + side, height))
    columns = slice(max(left, 0), min(left + side, width))
    within = (
        slice(rows.start - top, rows.stop - top),
        slice(columns.start - left, columns.stop - left),
    )
    below = image_u8[:, rows, columns].float()
    above, share = pasted_u8[:, *within].float(), mask[within]
    image_u8[:, rows, columns] = (below + share * (above - below)).round().to(torch.uint8)


def _drawn(count: int, rng: torch.Generator) -> int:
    return int(torch.randint(count, (), generator=rng))
