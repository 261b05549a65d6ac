"""Finding the images of a data folder in the layouts that are understood."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tgn.data.completion_record import check_complete
from tgn.data.images import SUFFIXES
from tgn.data.shards import TAR, label_of, member_name, samples
from tgn.runtime.errors import DataError, NotFoundError

EXPECTED = (
    "expected class folders (DATA/<class>/*.png), or DATA/train/<class>/ and DATA/test/<class>/, "
    "with or without DATA/anno/*_train.txt and *_test.txt, or a .zip of one of these, or "
    "WebDataset shards: DATA/*.tar, or DATA/train-*.tar and DATA/test-*.tar"
)
PARTS = ("train", "test")


@dataclass
class Layout:
    """Image files by part and class folder; paths are relative to ``root``, with "/"."""

    root: Path
    train: dict[str, list[str]]
    test: dict[str, list[str]] | None  # None: the data has no test part of its own
    names: dict[str, str] = field(default_factory=dict)  # folder -> name for people
    notes: list[str] = field(default_factory=list)

    @property
    def files(self) -> list[str]:
        """All image files, those of the training part first."""
        parts = (self.train, self.test or {})
        return [file for part in parts for names in part.values() for file in names]


def find_images(data: Path) -> Layout:
    """List the images under ``data`` (a folder), sorted, hidden files left out.

    Raises:
        NotFoundError: if there is no such folder.
        DataError: if it has no layout that is known, or fewer than two classes.
    """
    if not data.is_dir():
        raise NotFoundError(f"no data folder {data}; {EXPECTED}")
    root = _only_folder(data)
    check_complete(root)
    if any(root.glob(f"*{TAR}")) or any((root / "train").glob(f"*{TAR}")):
        layout = _sharded(root)
    elif sorted((root / "anno").glob("*_train.txt")):
        layout = _annotated(root)
    elif (root / "train").is_dir():
        parts = [_class_folders(root, root / part) for part in PARTS]
        layout = Layout(root, parts[0], parts[1] or None)
    else:
        layout = Layout(root, _class_folders(root, root), None)
    _drop_unusable(layout)
    layout.names = class_names(root, sorted(layout.train))
    if len(layout.train) < 2:
        raise DataError(f"{data} has {len(layout.train)} class(es) with images; {EXPECTED}")
    return layout


def _only_folder(data: Path) -> Path:
    """Step into a folder that holds nothing but one folder, as zip files often do."""
    inside = [path for path in data.iterdir() if not path.name.startswith((".", "__MACOSX"))]
    if len(inside) == 1 and inside[0].is_dir():
        deeper = [path for path in inside[0].iterdir() if path.is_dir()]
        if deeper:
            return inside[0]
    return data


def _class_folders(root: Path, folder: Path) -> dict[str, list[str]]:
    if not folder.is_dir():
        return {}
    classes = {}
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith("."):
            classes[path.name] = _images_in(root, path)
    return classes


def _images_in(root: Path, folder: Path) -> list[str]:
    real_root = root.resolve()
    return [
        path.relative_to(root).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
        and path.resolve().is_relative_to(real_root)
    ]


def _sharded(root: Path) -> Layout:
    """List the images in WebDataset shards; ``classnames.txt`` names the numbers of ``.cls``."""
    file = root / "classnames.txt"
    names = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    parts = {
        part: sorted({*root.glob(f"{part}*{TAR}"), *(root / part).glob(f"*{TAR}")})
        for part in PARTS
    }
    if not parts["train"]:
        parts = {"train": sorted(root.glob(f"*{TAR}")), "test": []}
    found: dict[str, dict[str, list[str]]] = {}
    for part, shards in parts.items():
        classes = found.setdefault(part, {})
        for shard in shards:
            for label, name in _images_of_shard(root, shard):
                number = int(label) if label.isdecimal() else len(names)
                folder = names[number].strip() if number < len(names) else label
                require_folder_name(folder, str(shard))
                classes.setdefault(folder, []).append(name)
    return Layout(root, found["train"], found["test"] or None)


def _images_of_shard(root: Path, shard: Path) -> Iterator[tuple[str, str]]:
    place = shard.relative_to(root).as_posix()
    for sample in samples(shard):
        extension = next((e for e in sample.places if f".{e}" in SUFFIXES), None)
        if extension is not None:
            yield label_of(shard, sample), member_name(place, sample, extension)


def _annotated(root: Path) -> Layout:
    """Read ``anno/*_train.txt`` and ``*_test.txt``: lines ``relative/path label``."""
    pairs = {part: _read_lists(root, part) for part in PARTS}
    folder_of = _folders_of_labels(pairs["train"] + pairs["test"])
    parts: dict[str, dict[str, list[str]]] = {}
    for part, lines in pairs.items():
        classes = parts.setdefault(part, {})
        for path, label in sorted(set(lines)):
            classes.setdefault(folder_of[label], []).append(path)
    return Layout(root, parts["train"], parts["test"] or None)


def _read_lists(root: Path, part: str) -> list[tuple[str, str]]:
    pairs = []
    for file in sorted((root / "anno").glob(f"*_{part}.txt")):
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            if not line.strip():
                continue
            path, _, label = line.strip().rpartition(" ")
            where = f"{file} line {number}"
            if not path or not label.strip():
                raise DataError(f"{where}: got {line!r}, expected 'relative/path label'")
            require_folder_name(label, where)
            if not (root / path).resolve().is_relative_to(root.resolve()):
                raise DataError(f"{where}: {path!r} leads outside the data folder")
            pairs.append((Path(path).as_posix(), label))
    return pairs


def require_folder_name(label: str, where: str) -> None:
    """Refuse a label that would lead out of the folder in which images of its class are put."""
    if label in ("", ".", "..") or "/" in label or "\\" in label:
        raise DataError(f"{where}: the label {label!r} cannot name a folder")


def _folders_of_labels(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Return label -> folder name where folders and labels pair off, else the label itself."""
    seen: dict[str, set[str]] = {}
    for path, label in pairs:
        seen.setdefault(label, set()).add(Path(path).parent.name)
    folders = [next(iter(names)) for names in seen.values() if len(names) == 1]
    if len(folders) == len(seen) == len(set(folders)) and all(folders):
        return {label: next(iter(names)) for label, names in seen.items()}
    return {label: label for label in seen}


def _drop_unusable(layout: Layout) -> None:
    for name in [name for name, files in layout.train.items() if not files]:
        del layout.train[name]
        layout.notes.append(f"class {name!r} has no training image and is left out")
    for name in sorted((layout.test or {}).keys() - layout.train.keys()):
        count = len(layout.test.pop(name)) if layout.test else 0
        layout.notes.append(f"class {name!r} is only in the test part: {count} images left out")


def class_names(root: Path, folders: list[str]) -> dict[str, str]:
    """Return names for people: from ``names.json`` (folder -> name), else the folder's own."""
    file, given = root / "names.json", {}
    if file.is_file():
        try:
            given = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{file} is not JSON: {error}") from None
        if not isinstance(given, dict) or not all(isinstance(v, str) for v in given.values()):
            raise DataError(f'{file}: expected an object such as {{"0": "airport"}}')
    return {folder: given.get(folder, folder.replace("_", " ")) for folder in folders}
