"""Annotation files of COCO, Pascal VOC, DOTA and YOLO, read into one form."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from tgn.data.annotations.coco import read_coco
from tgn.data.annotations.collector import AnnotationCollector
from tgn.data.annotations.dota import read_dota
from tgn.data.annotations.image_lists import labels_and_list
from tgn.data.annotations.types import Annotations
from tgn.data.annotations.voc import read_voc
from tgn.data.annotations.yolo import YoloReader, is_yolo
from tgn.data.hidden_files import is_hidden
from tgn.data.image_files import images_directly_in
from tgn.runtime.errors import DataError, NotFoundError
from tgn.runtime.explanations import explained
from tgn.runtime.regular_files import NotReadableError

Reader = Callable[[Path, AnnotationCollector], None]


def read_annotations(labels: Path, images: Path) -> Annotations:
    """Read COCO (a .json file), or a folder of Pascal VOC .xml, DOTA labelTxt or YOLO .txt files.

    Of Pascal VOC files, the rotated boxes of DIOR-R too. If both folders are the same one, without
    annotation files, its images are read without objects. Images are found at any depth. Classes
    whose names differ in upper and lower case only become one, named as most of its objects are.

    Args:
        labels: the file or the folder of annotations; of some images only: a list of VOC's
            ``ImageSets``, or ``LABELS@LIST``.
        images: folder of the images.

    Returns:
        What could be read, with a line about each problem.

    Raises:
        NotFoundError: if labels or images are not there.
        DataError: if a COCO file is none, YOLO labels have no list of class names, or a list names
            images that are not there or have no labels.
    """
    return read_sources([(labels, images)])


def read_sources(sources: Sequence[tuple[Path, Path]]) -> Annotations:
    """Read several sources as one; each is a pair as :func:`read_annotations` takes it.

    Images are told apart by their paths, so that sources may have files of equal names.

    Raises:
        NotFoundError, DataError: as there, and if an image is in two sources.
    """
    parts = [_read_source(*source) for source in sources]
    joined = Annotations()
    for part in parts:
        joined.objects += part.objects
        joined.images += part.images
        joined.problems += part.problems
    joined.images.sort()
    _check_once(joined.images)
    _join_spellings(joined)
    return joined


def _check_once(images: list[Path]) -> None:
    counts = Counter(path.resolve() for path in images)
    if twice := [path for path, count in counts.items() if count > 1]:
        raise DataError(
            f"{len(twice)} images are in two sources, the first is {twice[0]}; name each once"
        )


def _read_source(labels: Path, images: Path) -> Annotations:
    if not images.is_dir():
        raise NotFoundError(f"no image folder {images}")
    labels, chosen = labels_and_list(labels)
    files, read = _files_and_reader(labels, images)
    collector = AnnotationCollector(images)
    if chosen is not None:
        chosen.check_none(collector.choose(chosen.names), f"file in {images}")
        files = chosen.label_files(files, labels)
    for file in files:
        _read_file(file, read, collector, required=file == labels)
    if chosen is not None and files == [labels]:
        unlabelled = collector.without_label(chosen.names)
        chosen.check_none(unlabelled, f"label in {labels}")
    collector.annotations.images = sorted(collector.sizes)
    return collector.annotations


def _read_file(file: Path, read: Reader, collector: AnnotationCollector, required: bool) -> None:
    try:
        read(file, collector)
    except UnicodeDecodeError:
        collector.problem(str(file), "not UTF-8; convert it")
    except (NotReadableError, OSError) as error:
        if required:
            raise
        collector.annotations.problems.append(explained(error) or str(error))


def _files_and_reader(labels: Path, images: Path) -> tuple[list[Path], Reader]:
    """Return the annotation files and the function that reads one."""
    if labels.is_file() and labels.suffix.lower() == ".json":
        return [labels], read_coco
    texts, xmls = _visible(labels, ".txt"), _visible(labels, ".xml")
    if xmls and len(xmls) >= len(texts):  # labelImg adds a classes.txt
        return xmls, read_voc
    if texts:
        return texts, YoloReader(labels).read if is_yolo(texts) else read_dota
    if labels.resolve() == images.resolve():
        return images_directly_in(images).images, _read_unlabelled
    below = sorted(
        {path.parent.name for kind in ("txt", "xml") for path in labels.glob(f"*/*.{kind}")}
    )
    raise NotFoundError(
        f"no labels in {labels}: expected a COCO .json, or a folder of VOC .xml, DOTA or YOLO .txt"
        + (f"; name a folder in it: {', '.join(below)}" if below else "")
    )


def _visible(folder: Path, suffix: str) -> list[Path]:
    return sorted(path for path in folder.glob(f"*{suffix}") if not is_hidden(path.name))


def _read_unlabelled(file: Path, collector: AnnotationCollector) -> None:
    collector.image(file.name, str(file))


def _join_spellings(annotations: Annotations) -> None:
    """Give classes one name that are the same but for upper and lower case."""
    spellings: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in annotations.objects:
        spellings[one.class_name.casefold()][one.class_name] += 1
    names = {key: max(sorted(found), key=found.__getitem__) for key, found in spellings.items()}
    for key, found in spellings.items():
        if len(found) > 1:
            counts = ", ".join(f"{name} ({found[name]})" for name in sorted(found))
            annotations.notes.append(f"classes {counts} are one class: {names[key]}")
    annotations.objects = [
        replace(one, class_name=names[one.class_name.casefold()]) for one in annotations.objects
    ]
