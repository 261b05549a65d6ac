"""Generate new images of the rare classes of a long-tailed image set (TGN, TGRS 2024).

The names below are the Python interface: typed, documented and stable. Everything else may move.
They are imported when they are first used, so that ``import tgn`` takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tgn import metrics
    from tgn.api import (
        GeneratedImages,
        Generator,
        LoadedRun,
        RunGenerator,
        load_generator,
        load_run,
    )
    from tgn.runtime.errors import TgnError

__version__ = "0.1.0"
__all__ = [
    "GeneratedImages",
    "Generator",
    "LoadedRun",
    "RunGenerator",
    "TgnError",
    "__version__",
    "load_generator",
    "load_run",
    "metrics",
]


def __getattr__(name: str) -> Any:
    if name == "metrics":
        return import_module("tgn.metrics")
    if name == "TgnError":
        return import_module("tgn.runtime.errors").TgnError
    if name in __all__:
        return getattr(import_module("tgn.api"), name)
    raise AttributeError(f"module 'tgn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
