"""Data of the experiments with detectors, as words of ``classify detect train``."""

import json
import zipfile
from pathlib import Path

from common import run, shared_data

from classify.detection.data.dataset import make_dataset, split_dataset
from tgn.data.annotations.readers import read_annotations
from tgn.data.runs import runs_root

PARTS, TEST_SHARE = ("train", "test"), 0.2


def drawn() -> tuple[str, ...]:
    """Draw the training and the test part."""
    folder = runs_root() / "detectors-rotated-data"
    run("tgn", "scenes", str(folder), "--boxes", "rotated")
    train, test = ((f"{folder}/{part}/labelTxt", f"{folder}/{part}/images") for part in PARTS)
    return *train, "--test", *test


def vhr10() -> tuple[str, ...]:
    """Unpack the images and split the labels; return words that name both parts."""
    folder = runs_root() / "detectors-vhr10-data"
    if not folder.exists():
        with zipfile.ZipFile(shared_data("vhr10.zip")) as archive:
            archive.extractall(folder)
    images, labels = str(folder / "images"), folder / "annotations.json"
    data = make_dataset(read_annotations(labels, Path(images)), rotated=False)
    files = [folder / f"{part}.json" for part in PARTS]
    content = json.loads(labels.read_text())
    for file, part in zip(files, split_dataset(data, TEST_SHARE, seed=0), strict=True):
        names = {image.path.name for image in part.images}
        kept = [image for image in content["images"] if image["file_name"] in names]
        ids = {image["id"] for image in kept}
        boxes = [box for box in content["annotations"] if box["image_id"] in ids]
        file.write_text(json.dumps({**content, "images": kept, "annotations": boxes}))
    return str(files[0]), images, "--test", str(files[1]), images
