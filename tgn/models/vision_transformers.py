"""Vision transformers of timm at any size of image, and published weights fitted to them."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from tgn.models.foreign_weights import bare_names
from tgn.runtime.errors import UserError


def transformer_options(arch: str, size: int) -> dict[str, Any]:
    """Return what timm must know to build a vision transformer for images of a size.

    Positions are learned for ``size``; other sizes get them interpolated. Empty for other
    architectures, which take any size as they are.
    """
    from timm.models import is_model, is_model_in_modules

    if not is_model(arch) or not is_model_in_modules(arch, {"vision_transformer", "deit"}):
        return {}
    return {"img_size": size, "dynamic_img_size": True, "dynamic_img_pad": True}


def check_patches(net: Any, arch: str, size: int) -> None:
    """Check that an image consists of whole patches.

    Raises:
        UserError: if not.
    """
    patch = net.patch_embed.patch_size[0]
    if size % patch:
        raise UserError(
            f"size got {size}; {arch} cuts images into patches of {patch} px, so take a multiple, "
            f"e.g. {max(round(size / patch), 1) * patch}"
        )


def fitted_weights(net: Any, weights: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Return weights for the positions of a vision transformer, interpolated from another size.

    Files of OpenCLIP are taken, too: of them the image tower. Weights of other networks are
    returned as they are.
    """
    from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn

    if not isinstance(net, VisionTransformer):
        return dict(weights)
    named = bare_names(weights, net.state_dict(), source)
    try:
        return checkpoint_filter_fn(named, net)
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UserError(
            f"{source} holds weights that cannot be fitted to {type(net).__name__} ({reason}); "
            "expected those of the same architecture"
        ) from None
