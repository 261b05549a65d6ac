"""How large an image is for the network: by its long or short side, or all by one factor."""

from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection.transform import GeneralizedRCNNTransform, resize_boxes

from classify.detection.models.backbones import MEAN, STD


def input_scaling(
    size: int, tile_size: int | None, short_side: int | None = None
) -> GeneralizedRCNNTransform:
    """Return the module that scales, normalises and pads images and scales detections back.

    Args:
        size: side in pixels, of a full tile or else of each image's long side.
        tile_size: side of a tile in pixels before; None: whole images.
        short_side: of whole images, in pixels, where the long one stays within ``size``; None: the
            long side is ``size``.
    """
    if tile_size is not None:
        return ConstantScale(size / tile_size)
    if short_side is not None:
        return ShortSideScale(short_side, size)
    return GeneralizedRCNNTransform(size, size, list(MEAN), list(STD))


class ShortSideScale(GeneralizedRCNNTransform):
    """Scales an image by its short side; in training by the side that was set last.

    Args:
        short_side: of prediction, and of training until another is set, in pixels.
        longest: the long side is scaled to this at most.
    """

    def __init__(self, short_side: int, longest: int) -> None:
        super().__init__(short_side, longest, list(MEAN), list(STD))
        self.training_side = short_side

    def torch_choice(self, k: list[int]) -> int:
        """Return the short side of a training image; all images of a batch have one."""
        return self.training_side


class ConstantScale(GeneralizedRCNNTransform):
    """Scales all images by one factor, so that an object is as large in a small image as in a tile.

    Args:
        factor: of both sides.
    """

    def __init__(self, factor: float) -> None:
        super().__init__(1, 1, list(MEAN), list(STD))  # neither size is read
        self.factor = factor

    def resize(
        self, image: Tensor, target: dict[str, Tensor] | None = None
    ) -> tuple[Tensor, dict[str, Tensor] | None]:
        """Scale an image [3, H, W], and the upright boxes of its target if there is one."""
        before = list(image.shape[-2:])
        after = [max(1, round(side * self.factor)) for side in before]
        if after != before:
            image = F.interpolate(image[None], size=after, mode="bilinear", align_corners=False)[0]
        if target is not None:
            target = {**target, "boxes": resize_boxes(target["boxes"], before, after)}
        return image, target
