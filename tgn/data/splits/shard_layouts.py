"""Images in WebDataset shards, by part and class."""

from collections.abc import Iterator
from pathlib import Path

from tgn.data.hidden_files import is_hidden
from tgn.data.image_files import FoundImages, images_below, is_folder, printable
from tgn.data.images import SUFFIXES
from tgn.data.shards import TAR, LeftOut, label_of, member_name, samples
from tgn.data.split import Part
from tgn.data.splits.layout import Files, Layout, layout_of_parts, require_folder_name
from tgn.data.splits.part_names import part_beginning
from tgn.runtime.text_files import read_text

Shards = dict[Part, list[Path]]


def find_shards(root: Path, parts: dict[Part, Path]) -> Shards:
    """Return the shards of each part: in its folder, or named after it; empty if there are none.

    Shards without the name of a part are training if no other is.
    """
    found: Shards = {part: shards_in(folder) for part, folder in parts.items()}
    unnamed = []
    for path in shards_in(root):
        part = part_beginning(path.name)
        if part is None:
            unnamed.append(path)
        else:
            found.setdefault(part, []).append(path)
    if not found.get("train"):
        found["train"] = unnamed
    return {part: sorted(shards) for part, shards in found.items() if shards}


def shards_in(folder: Path) -> list[Path]:
    """Return the shards directly in a folder, sorted; a folder called so may be a class."""
    paths = sorted(folder.glob(f"*{TAR}"))
    return [path for path in paths if not (is_folder(path) or is_hidden(path.name))]


def sharded(root: Path, shards: Shards) -> Layout:
    """List the images in shards; ``classnames.txt`` names the numbers of ``.cls``.

    Raises:
        DataError: for a shard that is damaged or cut short.
    """
    file = root / "classnames.txt"
    names = read_text(file)[0].splitlines() if file.is_file() else []
    found: dict[Part, Files] = {}
    left_out: LeftOut = []
    for part, paths in shards.items():
        classes = found.setdefault(part, {})
        for shard in paths:
            for label, name in _images_of_shard(root, shard, left_out):
                number = int(label) if label.isdecimal() else len(names)
                folder = names[number].strip() if number < len(names) else label
                require_folder_name(folder, str(shard))
                classes.setdefault(folder, []).append(name)
    layout = layout_of_parts(root, found)
    layout.left_out = left_out
    used = {path for paths in shards.values() for path in paths}
    unused = [path for path in shards_in(root) if path not in used]
    layout.leave_out([path.name for path in unused], "shard of no part")
    below = images_below(root)
    read = {*used, *unused, file}
    others = [one for one in below.left_out if one[0] not in read]
    layout.leave_out(
        layout.take(FoundImages(below.images, others)), "beside shards, in none of them"
    )
    return layout


def _images_of_shard(root: Path, shard: Path, left_out: LeftOut) -> Iterator[tuple[str, str]]:
    place = shard.relative_to(root).as_posix()
    members: LeftOut = []
    for sample in samples(shard, members):
        extensions = [e for e in sample.places if f".{e}" in SUFFIXES]
        if extensions:
            yield label_of(shard, sample), member_name(place, sample, extensions[0])
        else:
            left_out.append((f"{place}/{sample.key}", "sample without an image"))
        more = [f"{place}/{sample.key}.{extension}" for extension in extensions[1:]]
        left_out += [(name, "second image of a sample") for name in more]
    left_out += [(printable(f"{place}/{name}"), reason) for name, reason in members]
