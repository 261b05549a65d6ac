"""Labels as other tools write them: names, sizes, numbers and words that mislead."""

import json

import numpy as np
import pytest
from PIL import Image

from tgn.data.annotations.image_index import ImageIndex
from tgn.data.annotations.orientation import turn_polygon
from tgn.data.annotations.readers import read_annotations
from tgn.data.images import read_image
from tgn.runtime.errors import DataError, NotFoundError

SHIP = {"id": 1, "name": "ship"}


def picture(path, size=(80, 60), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path, **options)
    return path


def coco(folder, images, boxes, categories=(SHIP,)):
    """Write COCO labels: images as rows, boxes as (id of the image, bbox)."""
    rows = [
        {"id": k, "image_id": image, "category_id": 1, "bbox": box}
        for k, (image, box) in enumerate(boxes)
    ]
    content = {"images": images, "annotations": rows, "categories": list(categories)}
    path = folder / "labels.json"
    path.write_text(json.dumps(content))
    return path


def voc(folder, stem, written, names=("ship",), size="", box=(5, 5, 20, 20)):
    folder.mkdir(exist_ok=True)
    sides = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    corners = "".join(f"<{side}>{value}</{side}>" for side, value in sides)
    objects = (f"<object><name>{n}</name><bndbox>{corners}</bndbox></object>" for n in names)
    text = f"<annotation><filename>{written}</filename>{size}{''.join(objects)}</annotation>"
    (folder / f"{stem}.xml").write_text(text)


def texts(folder, **lines):
    folder.mkdir(parents=True, exist_ok=True)
    for stem, text in lines.items():
        (folder / f"{stem}.txt").write_text(text)
    return folder


def test_the_folders_of_a_coco_file_name_tell_images_of_one_name_apart(tmp_path):
    for name in ("north/0.png", "south/0.png", ".thumbs/0.png"):
        picture(tmp_path / "images" / name)
    rows = [{"id": 0, "file_name": "south/0.png"}, {"id": 1, "file_name": "images\\north\\0.png"}]
    boxes = [(0, [1, 1, 9, 9]), (1, [1, 1, 9, 9])]
    found = read_annotations(coco(tmp_path, rows, boxes), tmp_path / "images")
    assert [one.image.parent.name for one in found.objects] == ["south", "north"]
    assert not found.problems
    rows = [{"id": 0, "file_name": "0.png"}]
    found = read_annotations(coco(tmp_path, rows, boxes[:1]), tmp_path / "images")
    assert not found.objects
    assert "several images '0.png'" in found.problems[0]
    rows = [{"id": 0, "file_name": "west/0.png"}]
    found = read_annotations(coco(tmp_path, rows, boxes[:1]), tmp_path / "images")
    assert "no image 'west/0.png'" in found.problems[0]


def test_two_names_of_one_image_are_in_doubt_unless_one_names_its_folder(tmp_path):
    picture(tmp_path / "images" / "0.png")
    rows = [{"id": k, "file_name": f"{place}/0.png"} for k, place in enumerate(("north", "south"))]
    boxes = [(0, [1, 1, 9, 9]), (1, [30, 1, 9, 9])]
    found = read_annotations(coco(tmp_path, rows, boxes), tmp_path / "images")
    assert not found.objects
    assert all("north/0.png and south/0.png all fit" in problem for problem in found.problems)
    picture(tmp_path / "south" / "0.png")
    found = read_annotations(coco(tmp_path, rows, boxes), tmp_path / "south")
    assert [one.box_xyxy[0] for one in found.objects] == [30]


@pytest.mark.parametrize(
    "name", ["0.jpg", "a/0.jpg", "C:\\x\\a\\0.jpg", "0", "./a/0.tif", "/r/a/0"]
)
def test_names_are_found_with_other_suffixes_and_unknown_first_folders(tmp_path, name):
    path = picture(tmp_path / "a" / "0.png")
    assert ImageIndex(tmp_path).find(name) == [path]


def test_ids_are_compared_as_text_and_each_belongs_to_one_image(tmp_path):
    picture(tmp_path / "a.png")
    rows = [{"id": 1, "file_name": "a.png"}]
    boxes = [("1", [1, 1, 9, 9]), (1.0, [1, 1, 9, 9]), (7, [1, 1, 9, 9])]
    found = read_annotations(coco(tmp_path, rows, boxes), tmp_path)
    assert len(found.objects) == 2
    assert "annotation 2: the file has no image 7" in found.problems[0]
    rows.append({"id": "1", "file_name": "b.png"})
    with pytest.raises(DataError, match="id 1 is 'a.png' and 'b.png'"):
        read_annotations(coco(tmp_path, rows, boxes), tmp_path)


def test_boxes_that_end_before_they_begin_are_listed(tmp_path):
    picture(tmp_path / "a.png")
    rows = [{"id": 1, "file_name": "a.png"}]
    boxes = [(1, [40, 40, -9, -9]), (1, [40, 40, -9, 9])]
    found = read_annotations(coco(tmp_path, rows, boxes), tmp_path)
    assert not found.objects
    assert [("width -9" in problem) for problem in found.problems] == [True, True]
    voc(tmp_path / "xml", "a", "a.png", box=(20, 5, 5, 20))
    found = read_annotations(tmp_path / "xml", tmp_path)
    assert not found.objects
    assert "x 20 to 5" in found.problems[0]


def test_boxes_of_voc_count_pixels_from_one(tmp_path):
    picture(tmp_path / "a.png")
    voc(tmp_path / "xml", "a", "a.png", box=(1, 1, 80, 60))
    (whole,) = read_annotations(tmp_path / "xml", tmp_path).objects
    assert whole.box_xyxy == (0, 0, 80, 60)
    voc(tmp_path / "xml", "a", "a.png", box=(7, 9, 7, 9))
    (pixel,) = read_annotations(tmp_path / "xml", tmp_path).objects
    assert pixel.box_xyxy == (6, 8, 7, 9)


def test_a_size_in_the_labels_that_contradicts_the_image_is_named(tmp_path):
    for name in ("a", "b", "c"):
        picture(tmp_path / f"{name}.png")
    sizes = {"a": (80, 60), "b": (60, 80), "c": (0, 0)}
    for name, (width, height) in sizes.items():
        size = f"<size><width>{width}</width><height>{height}</height></size>"
        voc(tmp_path / "xml", name, f"{name}.png", size=size)
    found = read_annotations(tmp_path / "xml", tmp_path)
    assert [one.image.stem for one in found.objects] == ["a", "c"]
    assert "b.xml: the label is of an image of 60x80" in found.problems[0]
    assert [path.stem for path in found.images] == ["a", "c"]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("turned", [False, True])
def test_labels_lie_on_pictures_with_an_exif_orientation_or_are_named(
    tmp_path, orientation, turned
):
    shown = np.zeros((60, 80, 3), np.uint8)
    shown[10:30, 40:70] = 255  # a bright box of 30 x 20 in the picture as viewers show it
    stored = Image.new("RGB", (80, 60))
    exif = stored.getexif()
    exif[274] = orientation
    back = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    as_shown = Image.fromarray(shown)
    stored = as_shown if back is None else as_shown.transpose(Image.Transpose(back))
    stored.save(tmp_path / "a.png", exif=exif)
    bright = np.argwhere(np.asarray(as_shown if turned else stored)[:, :, 0] > 0)
    (top, left), (bottom, right) = bright.min(0).tolist(), (bright.max(0) + 1).tolist()
    width, height = (as_shown if turned else stored).size
    rows = [{"id": 1, "file_name": "a.png", "width": width, "height": height}]
    box = [left, top, right - left, bottom - top]
    found = read_annotations(coco(tmp_path, rows, [(1, box)]), tmp_path)
    if not found.objects:
        assert f"an image of {width}x{height}" in found.problems[0]
        return
    pixels = np.asarray(read_image(tmp_path / "a.png")[0])[:, :, 0]
    x0, y0, x1, y1 = (round(value) for value in found.objects[0].box_xyxy)
    if orientation < 5:  # the size does not tell: labels are of the picture as it is decoded
        return
    assert pixels[y0:y1, x0:x1].min() == 255
    assert (pixels > 0).sum() == (x1 - x0) * (y1 - y0)


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [(5, (2, 1)), (6, (58, 1)), (7, (58, 79)), (8, (2, 79))],
)
def test_a_place_of_the_stored_picture_is_turned_with_it(orientation, expected):
    assert turn_polygon(((1, 2),), orientation, (60, 80)) == (expected,)  # stored: 80 x 60


def test_the_stem_of_a_voc_file_finds_its_image(tmp_path):
    for name in ("a", "b", "z"):
        picture(tmp_path / f"{name}.png")
    voc(tmp_path / "xml", "a", "IMG_9000.jpg")
    voc(tmp_path / "xml", "b", "C:\\Users\\me\\images\\b.jpg")
    voc(tmp_path / "xml", "other", "z.png")
    found = read_annotations(tmp_path / "xml", tmp_path)
    assert [one.image.stem for one in found.objects] == ["a", "b", "z"]
    assert not found.problems


def test_upper_and_lower_case_make_one_class_and_a_note(tmp_path):
    picture(tmp_path / "a.png")
    voc(tmp_path / "xml", "a", "a.png", ("ship", "SHIP", "SHIP", "plane"))
    found = read_annotations(tmp_path / "xml", tmp_path)
    assert [one.class_name for one in found.objects] == ["SHIP", "SHIP", "SHIP", "plane"]
    assert found.notes == ["classes SHIP (2), ship (1) are one class: SHIP"]


def test_dota_classes_may_be_several_words_but_no_coordinate(tmp_path):
    picture(tmp_path / "a.png")
    box = "1 1 20 1 20 20 1 20"
    lines = ("large vehicle 1", "large vehicle", "ship", "3 0", "berth 2 0")
    labels = texts(tmp_path / "dota", a="\n".join(f"{box} {line}" for line in lines))
    found = read_annotations(labels, tmp_path)
    classes = [(one.class_name, one.difficult) for one in found.objects]
    assert classes == [("large vehicle", True), ("large vehicle", False), ("ship", False),
                       ("3", False), ("berth 2", False)]  # fmt: skip
    labels = texts(tmp_path / "pixels", a="0 10.5 10 30 10 30 30.5 10 30.5")
    (problem,) = read_annotations(labels, tmp_path).problems
    assert "class '30.5' is a number" in problem


def test_yolo_boxes_rotated_boxes_and_outlines_are_read_with_their_names(tmp_path):
    picture(tmp_path / "images" / "train" / "a.png", (100, 50))
    lines = ["1 0.5 0.5 0.2 0.4", "0 0.1 0.2 0.3 0.2 0.3 0.6 0.1 0.6"]
    lines += ["0 0.1 0.2 0.3 0.2 0.2 0.6", "2 0.5 0.5 0.2 0.4", "0 0.5 0.5 0.2 0.4 0.9"]
    labels = texts(tmp_path / "labels" / "train", a="\n".join(lines))
    images = tmp_path / "images" / "train"
    with pytest.raises(DataError, match="no names; put data.yaml"):
        read_annotations(labels, images)
    (tmp_path / "data.yaml").write_text("names: [a]\nnames: [b]\n")
    with pytest.raises(DataError, match="key 'names' twice"):
        read_annotations(labels, images)
    (tmp_path / "data.yaml").write_text("names:\n  0: ship\n  1: sea port\n")
    found = read_annotations(labels, images)
    assert [one.class_name for one in found.objects] == ["sea port", "ship", "ship"]
    boxes = [one.box_xyxy for one in found.objects]
    expected = [(40, 15, 60, 35), (10, 10, 30, 30), (10, 10, 30, 30)]
    assert [pytest.approx(box) for box in expected] == boxes
    assert len(found.objects[2].polygon) == 3
    assert "line 4: class 2 has no name; there are 0 to 1" in found.problems[0]
    assert "line 5: expected: class x y width height" in found.problems[1]
    (tmp_path / "data.yaml").write_text("names: [a, b]\n")
    (tmp_path / "classes.txt").write_text("a\nc\n")
    with pytest.raises(DataError, match="several lists of class names: classes.txt, data.yaml"):
        read_annotations(labels, images)
    (tmp_path / "classes.txt").unlink()
    (tmp_path / "data.yaml").write_text("names: [a, b]\nkpt_shape: [17, 3]\n")
    with pytest.raises(DataError, match="keypoints"):
        read_annotations(labels, images)


def test_yolo_labels_of_images_without_objects_and_beside_a_list_of_classes(tmp_path):
    for name in ("a", "b"):
        picture(tmp_path / f"{name}.png")
    labels = texts(tmp_path / "labels", a="", b="0 0.5 0.5 0.2 0.4\n", classes="ship\n")
    found = read_annotations(labels, tmp_path)
    assert [path.stem for path in found.images] == ["a", "b"]
    assert [one.class_name for one in found.objects] == ["ship"]
    assert not found.problems


def test_labels_a_folder_deeper_are_named(tmp_path):
    picture(tmp_path / "images" / "a.png")
    texts(tmp_path / "labels" / "train", a="0 0.5 0.5 0.2 0.4\n")
    with pytest.raises(NotFoundError, match="name a folder in it: train"):
        read_annotations(tmp_path / "labels", tmp_path / "images")
