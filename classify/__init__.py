"""Train, compare and apply classifiers on real and generated images.

The names below are the Python interface: typed, documented and stable. Everything else may move.
They are imported when they are first used, so that ``import classify`` takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from classify.api import Classifier, load_classifier

__all__ = ["Classifier", "load_classifier"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("classify.api"), name)
    raise AttributeError(f"module 'classify' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
