"""The built-in data set: procedurally drawn aerial chips of twelve classes."""

from tgn.scenes.draw import CLASS_NAMES, draw_chip
from tgn.scenes.write import SceneCounts, ScenesSettings, count_scenes, write_scenes

__all__ = [
    "CLASS_NAMES",
    "SceneCounts",
    "ScenesSettings",
    "count_scenes",
    "draw_chip",
    "write_scenes",
]
