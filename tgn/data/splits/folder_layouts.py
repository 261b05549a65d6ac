"""Finding the images of a data folder in the layouts that are understood."""

from collections.abc import Sequence
from pathlib import Path

from tgn.data.completion_record import check_complete
from tgn.data.hidden_files import is_hidden
from tgn.data.image_files import (
    HIDDEN,
    FoundImages,
    images_below,
    images_directly_in,
    is_folder,
    left_out_notes,
    printable,
    visible_folders,
)
from tgn.data.images import SUFFIXES
from tgn.data.shards import TAR
from tgn.data.split import Part
from tgn.data.splits.anno_lists import annotated, find_lists
from tgn.data.splits.class_names import class_names
from tgn.data.splits.inner_parts import are_parted, parts_in_classes
from tgn.data.splits.layout import Files, Layout, layout_of_parts
from tgn.data.splits.part_names import part_called, part_folders
from tgn.data.splits.shard_layouts import find_shards, sharded, shards_in
from tgn.runtime.errors import DataError, NotFoundError

EXPECTED = (
    "expected class folders (DATA/<class>/*.png), or DATA/train/<class>/ and DATA/test/<class>/ "
    "(and DATA/val/<class>/), or DATA/<class>/train/ and DATA/<class>/test/, with or without "
    "DATA/anno/*_train.txt and *_test.txt, or a .zip of one of these, or WebDataset shards: "
    "DATA/*.tar, or DATA/train-*.tar and DATA/test-*.tar"
)
Classes = dict[str, FoundImages]  # class folder -> what is below it


def find_images(data: Path, names: str | None = None) -> Layout:
    """List the images under ``data`` (a folder), sorted; what is left out is recorded.

    Args:
        data: the folder.
        names: of the classes, see :func:`tgn.data.splits.class_names.class_names`.

    Raises:
        NotFoundError: if there is no such folder.
        DataError: if it has no layout that is known, or fewer than two classes.
    """
    if not data.is_dir():
        what = f"{data} is a file" if data.is_file() else f"no data folder {data}"
        raise NotFoundError(f"{what}; {EXPECTED}")
    if printable(str(data.resolve())) != str(data.resolve()):
        raise DataError(f"the path {data} is not UTF-8 text; rename its folders")
    root = _only_folder(data)
    check_complete(root)
    layout = _read_layout(root)
    _choose_test_part(layout)
    _match_cases(layout)
    _drop_unusable(layout)
    layout.names = class_names(root, sorted(layout.train), names)
    layout.notes += left_out_notes(layout.left_out)
    if len(layout.train) < 2:
        seen = "; ".join(layout.notes)
        what = f"{data} has {len(layout.train)} class(es) with images"
        raise DataError(f"{what}{f' ({seen})' if seen else ''}; {EXPECTED}")
    return layout


def _only_folder(data: Path) -> Path:
    """Step into a folder that holds but one folder and no data, as zip files often do.

    A README or licence beside the folder is none; beside ``train/`` other files belong to the set.
    """
    folders = visible_folders(data)
    files = [path for path in data.iterdir() if not (is_folder(path) or is_hidden(path.name))]
    if len(folders) != 1 or any(path.suffix.lower() in {*SUFFIXES, TAR} for path in files):
        return data
    only = folders[0]
    if part_called(only.name) and (files or not visible_folders(only)):
        return data
    return only if visible_folders(only) or shards_in(only) else data


def _read_layout(root: Path) -> Layout:
    parts = part_folders(root)
    if shards := find_shards(root, parts):
        return sharded(root, shards)
    if lists := find_lists(root):
        return annotated(root, lists, parts)
    return _foldered(root, parts)


def _foldered(root: Path, parts: dict[Part, Path]) -> Layout:
    """Read class folders, in folders of the parts or directly in ``root``."""
    classes_of = {part: _classes(folder) for part, folder in parts.items()}
    others = _classes(root, leave=list(parts.values()))
    if _are_parts(root, parts, classes_of, others):
        layout = _of_parts(root, parts, classes_of)
        for found in others.values():
            hidden = [one for one in found.left_out if one[1] == HIDDEN]
            names = layout.take(FoundImages(found.images, hidden))
            layout.leave_out(names, "outside the folders of the parts")
    else:
        classes = others | {path.name: images_below(path) for path in parts.values()}
        layout = _of_classes(root, dict(sorted(classes.items())))
        layout.notes += [f"folder {path.name!r} is read as a class" for path in parts.values()]
    loose = layout.take(images_directly_in(root))
    layout.leave_out(loose, "in no class folder")
    return layout


def _classes(folder: Path, leave: Sequence[Path] = ()) -> Classes:
    """Return the folders in a folder, with hidden ones, but for some to leave."""
    return {
        path.name: images_below(path, is_hidden(path.name))
        for path in sorted(folder.iterdir())
        if is_folder(path) and path not in leave
    }


def _taken(layout: Layout, classes: Classes) -> Files:
    taken = {name: layout.take(found) for name, found in classes.items()}
    return {name: files for name, files in taken.items() if not is_hidden(name)}


def _of_classes(root: Path, classes: Classes) -> Layout:
    """Return the layout of class folders: whole ones, or each with the parts in it."""
    layout = Layout(root, {})
    files = _taken(layout, classes)
    if not are_parted(root, files):
        layout.train = files
        return layout
    found = layout_of_parts(root, parts_in_classes(files))
    found.left_out = layout.left_out
    found.notes.append("each class folder holds its own parts: train/, test/ and the like")
    return found


def _of_parts(root: Path, parts: dict[Part, Path], classes_of: dict[Part, Classes]) -> Layout:
    layout, read = Layout(root, {}), dict[Part, Files]()
    for part, folder in parts.items():
        read[part] = _taken(layout, classes_of[part])
        loose = layout.take(images_directly_in(folder))
        layout.leave_out(loose, f"directly in {folder.name}/, in no class folder")
    found = layout_of_parts(root, read)
    found.left_out = layout.left_out
    return found


def _are_parts(
    root: Path, parts: dict[Part, Path], classes_of: dict[Part, Classes], others: Classes
) -> bool:
    """Whether folders called train, val and test are parts, not classes of these names.

    They are if they hold class folders: alone, or the same ones in two of them.

    Raises:
        DataError: if they could be either.
    """
    names = {
        part: {name.lower() for name, found in classes.items() if found.images}
        for part, classes in classes_of.items()
    }
    train = names.get("train", set())
    beside = [name for name, found in others.items() if found.images]
    if not beside and parts and not any(names.values()):
        if not any(images_directly_in(folder).images for folder in parts.values()):
            return "train" in parts
        shown = ", ".join(f"{path.name}/" for path in parts.values())
        raise DataError(f"{root}: {shown} hold images, but no class folders; {EXPECTED}")
    if any(train & names[part] for part in names if part != "train"):
        return True
    if not beside or not train:
        return bool(train)
    if len(beside) == 1 and not images_directly_in(parts["train"]).images:
        own, other = parts["train"].name, beside[0]
        raise DataError(
            f"{root}: {own}/ holds class folders and {other}/ beside it holds images; rename "
            f"{own}/ if it is a class, or move {other}/ away if {own}/ is the training part"
        )
    return False


def _choose_test_part(layout: Layout) -> None:
    """Test on the validation part where the data has no test part; say which parts are its own."""
    if layout.val is None:
        return
    if layout.test is None:
        layout.test, layout.val = layout.val, None
        layout.notes.append(
            "the data has no test part: its validation part is the test part, and the validation "
            "images are drawn from training"
        )
    else:
        layout.notes.append("the validation part is the data's own; val_fraction draws none")


def _match_cases(layout: Layout) -> None:
    """Give classes of other parts the training part's name where only upper and lower case differ.

    Two classes of one part stay two, as letters have class folders "A" and "a".
    """
    alike: dict[str, list[str]] = {}
    for name in layout.train:
        alike.setdefault(name.lower(), []).append(name)
    for same in alike.values():
        if len(same) > 1:
            names = " and ".join(repr(name) for name in same)
            layout.notes.append(
                f"{names} are two classes, upper and lower case differ; move the images into one "
                "folder if one class is meant"
            )
    for files in layout.held_out.values():
        for name in [name for name in files if name not in layout.train]:
            same = alike.get(name.lower(), [])
            if len(same) == 1:
                files[same[0]] = sorted(files.get(same[0], []) + files.pop(name))
                layout.notes.append(f"{name!r} is taken for class {same[0]!r}")


def _drop_unusable(layout: Layout) -> None:
    for name in [name for name, files in layout.train.items() if not files]:
        del layout.train[name]
        layout.notes.append(f"class {printable(name)!r} has no training image and is left out")
    for part, files in layout.held_out.items():
        for name in sorted(files.keys() - layout.train.keys()):
            shown = {"val": "validation", "test": "test"}[part]
            layout.leave_out(files.pop(name), f"class {name!r} is only in the {shown} part")
