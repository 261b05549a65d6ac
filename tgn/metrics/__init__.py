"""Metrics of image sets and classifiers: pure formulas on features, and a function for each.

The functions take features, images or folders; see :mod:`tgn.metrics.image_sets`::

    tgn.metrics.kid("generated", "real", extractor="resnet50:/path/to/resnet50.safetensors")
    tgn.metrics.precision_recall(features_a, features_b)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tgn.metrics.image_sets import (
        PrecisionRecall,
        cmmd,
        copies,
        diversity,
        extract_features,
        fid,
        kid,
        precision_recall,
        vendi,
    )
    from tgn.metrics.kernel import KernelDistance
    from tgn.metrics.memorisation import Memorisation

__all__ = [
    "KernelDistance",
    "Memorisation",
    "PrecisionRecall",
    "cmmd",
    "copies",
    "diversity",
    "extract_features",
    "fid",
    "kid",
    "precision_recall",
    "vendi",
]

if not TYPE_CHECKING:  # torch takes seconds to import: only on first use

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module("tgn.metrics.image_sets"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
