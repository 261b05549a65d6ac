"""Images that must lie on one side of a split: equal ones, and chips of one image."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from tgn.data.completion_record import CHIPS, has_record
from tgn.data.splits.layout import Files

Groups = dict[str, int]  # file -> number of its group; only files that are not alone in theirs
_CHIP = re.compile(r"(.+)_\d+$")  # tgn chips: <image>_<n>
_TILE = "__"  # between the name of an image and what DOTA's tools add to files cut from it


def group_images(root: Path, files: Iterable[str], digests: Mapping[str, str]) -> Groups:
    """Return the groups of images that are equal, or chips of the same image.

    In a folder that ``tgn chips`` wrote, the image that a chip was cut from is known by the chip's
    name.

    Args:
        root: the data folder.
        files: relative to it.
        digests: of these files; those of equal images are the same.
    """
    files = list(files)
    leader = {file: file for file in files}

    def find(file: str) -> str:
        while leader[file] != file:
            leader[file] = file = leader[leader[file]]
        return file

    keys: list[Mapping[str, str]] = [digests]
    if has_record(root, CHIPS):
        keys.append({file: source_of_chip(file) for file in files})
    for key in keys:
        first: dict[str, str] = {}
        for file in files:
            leader[find(file)] = find(first.setdefault(key[file], file))
    sizes = Counter(find(file) for file in files)
    numbers: dict[str, int] = {}
    return {
        file: numbers.setdefault(find(file), len(numbers))
        for file in files
        if sizes[find(file)] > 1
    }


def source_of_chip(file: str) -> str:
    """Return the name of the image that a chip was cut from, also if DOTA's tools cut it first."""
    stem = PurePosixPath(file).stem
    found = _CHIP.match(stem)
    return (found[1] if found else stem).split(_TILE)[0]


def equal_images(files: Iterable[str], digests: Mapping[str, str]) -> list[list[str]]:
    """Return the sets of two or more files with the same digest, in order."""
    same: dict[str, list[str]] = {}
    for file in files:
        same.setdefault(digests[file], []).append(file)
    return [names for names in same.values() if len(names) > 1]


def draw_groups(order: Files, wanted: Mapping[str, int], groups: Groups) -> set[str]:
    """Draw images of every class, whole groups at a time.

    A group is drawn if no class then has more than is wanted. A class that gets none in this way
    gets the smallest group that leaves an image of every class.

    Args:
        order: class -> its images in the order of the draw.
        wanted: class -> how many to draw at most.
        groups: of the images; others are alone.

    Returns:
        The images drawn. Without groups: the first ones of every class.
    """
    members: dict[str | int, list[tuple[str, str]]] = {}
    for name, files in order.items():
        for file in files:
            members.setdefault(groups.get(file, file), []).append((name, file))
    sizes = {group: Counter(name for name, _ in inside) for group, inside in members.items()}
    most_left = {name: len(files) - 1 for name, files in order.items()}
    drawn, taken = set[str | int](), Counter[str]()

    def take(group: str | int, most: Mapping[str, int]) -> bool:
        """Draw a group if no class then has more than ``most``; return whether it did."""
        fits = all(taken[name] + count <= most[name] for name, count in sizes[group].items())
        if fits and group not in drawn:
            drawn.add(group)
            taken.update(sizes[group])
        return fits

    for name in sorted(order, key=lambda name: len(order[name])):  # the rare classes first
        own = list(dict.fromkeys(groups.get(file, file) for file in order[name]))
        for group in own:
            take(group, wanted)
        if wanted[name] and not taken[name]:
            any(take(group, most_left) for group in sorted(own, key=lambda g: sizes[g].total()))
    return {file for group in drawn for _, file in members[group]}
