"""Detection labels of three formats, and the chips cut from them."""

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests_support import Stops

from tgn.data.annotations.chip_table import read_chip_tables
from tgn.data.annotations.chips import cut_chips
from tgn.data.annotations.readers import read_annotations
from tgn.data.annotations.settings import ChipSettings
from tgn.data.splits.folder_layouts import find_images
from tgn.runtime.errors import DataError, NotFoundError, UserError
from tgn.runtime.files import read_json, write_json
from tgn.runtime.progress import Silent


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        pixels = np.zeros((60, 80, 3), np.uint8)
        pixels[20:40, 30:50] = 200
        Image.fromarray(pixels).save(folder / name)
    return folder


def coco(folder: Path, *boxes: tuple[int, list[float], int]) -> Path:
    data = {
        "categories": [{"id": 1, "name": "ship"}, {"id": 2, "name": "plane"}],
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "sub/b.png"}],
        "annotations": [
            {"id": k, "image_id": image, "bbox": box, "category_id": category}
            for k, (image, box, category) in enumerate(boxes)
        ],
    }
    path = folder / "labels.json"
    path.write_text(json.dumps(data))
    return path


def test_three_formats_give_one_form(images, tmp_path):
    from_coco = read_annotations(coco(tmp_path, (1, [30, 20, 20, 20], 1)), images)
    dota, voc = tmp_path / "dota", tmp_path / "voc"
    dota.mkdir()
    voc.mkdir()
    header = "imagesource:GoogleEarth\ngsd:0.1\n"
    (dota / "a.txt").write_text(header + "30 20 50 20 50 40 30 40 ship 1\n")
    box = "<xmin>31</xmin><ymin>21</ymin><xmax>50</xmax><ymax>40</ymax>"
    one = f"<object><name>ship</name><difficult>1</difficult><bndbox>{box}</bndbox></object>"
    (voc / "a.xml").write_text(f"<annotation><filename>a.png</filename>{one}</annotation>")
    found = [from_coco, read_annotations(dota, images), read_annotations(voc, images)]
    assert {o.box_xyxy for f in found for o in f.objects} == {(30, 20, 50, 40)}
    assert {o.class_name for f in found for o in f.objects} == {"ship"}
    assert [f.objects[0].difficult for f in found] == [False, True, True]
    assert not any(f.problems for f in found)


def test_bad_labels_are_listed_with_file_and_place(images, tmp_path):
    labels = tmp_path / "dota"
    labels.mkdir()
    lines = ["1 2 3", "x 0 9 0 9 9 0 9 ship 0", "5 5 5 5 5 5 5 5 ship 0"]
    lines += ["200 0 210 0 210 9 200 9 ship 0", "0 0 9 0 9 9 0 9 ../up 0"]
    (labels / "a.txt").write_text("\n".join(lines))
    (labels / "z.txt").write_text("0 0 9 0 9 9 0 9 ship 0")
    found = read_annotations(labels, images)
    assert found.objects == []
    problems = "\n".join(found.problems)
    for text in ("line 1: expected", "line 2: expected", "line 3: zero area", "line 4: outside"):
        assert text in problems
    assert "cannot name a folder" in problems
    assert "no image 'z'" in problems


def test_labels_that_are_not_there_say_what_is_expected(images, tmp_path):
    with pytest.raises(NotFoundError, match="expected a COCO .json"):
        read_annotations(tmp_path / "none", images)
    with pytest.raises(NotFoundError, match="no image folder"):
        read_annotations(tmp_path, tmp_path / "none")


def test_chips_are_square_reflected_at_borders_and_split_by_image(images, tmp_path):
    boxes = [(1, [30, 20, 20, 20], 1), (1, [0, 0, 20, 10], 2), (2, [30, 20, 20, 20], 1)]
    found = read_annotations(coco(tmp_path, *boxes), images)
    settings = ChipSettings(margin=0.0, test_fraction=0.5)
    counts = cut_chips(found, tmp_path / "out", settings, Silent())
    assert counts == {"ship": 2, "plane": 1}
    files = sorted(path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*.png"))
    parts = {
        file.name[0]: {f.parts[0] for f in files if f.name[0] == file.name[0]} for file in files
    }
    assert sorted(len(part) for part in parts.values()) == [1, 1]
    assert set.union(*parts.values()) == {"train", "test"}
    ship = np.asarray(Image.open(next((tmp_path / "out").rglob("ship/a_*.png"))))
    assert ship.shape == (20, 20, 3)
    assert (ship == 200).all()
    plane = np.asarray(Image.open(next((tmp_path / "out").rglob("plane/*.png"))))
    assert plane.shape == (20, 20, 3)
    with pytest.raises(UserError, match="margin differ"):
        cut_chips(found, tmp_path / "out", ChipSettings(test_fraction=0.5), Silent())
    with pytest.raises(UserError, match="not empty"):
        cut_chips(found, images, settings, Silent())
    with pytest.raises(UserError, match="at least 99"):
        cut_chips(found, tmp_path / "new", ChipSettings(min_side=99), Silent())


def test_interrupted_chips_are_no_data_until_the_same_call_completes_them(images, tmp_path):
    boxes = [(1, [30, 20, 20, 20], 1), (2, [30, 20, 20, 20], 2)]
    found = read_annotations(coco(tmp_path, *boxes), images)

    straight, broken = tmp_path / "straight", tmp_path / "broken"
    cut_chips(found, straight, ChipSettings(), Silent())
    with pytest.raises(KeyboardInterrupt):
        cut_chips(found, broken, ChipSettings(), Stops(1))
    with pytest.raises(DataError, match="not finished"):
        find_images(broken)
    cut_chips(found, broken, ChipSettings(), Silent())
    contents = [
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*.*")}
        for root in (straight, broken)
    ]
    assert contents[0] == contents[1]


def test_chips_of_an_older_version_are_continued(images, tmp_path):
    found = read_annotations(coco(tmp_path, (1, [30, 20, 20, 20], 1)), images)
    cut_chips(found, tmp_path / "out", ChipSettings(), Silent())
    record = tmp_path / "out" / "chips.json"
    content = read_json(record)
    settings = content["settings"]
    settings["holdout"] = settings.pop("test_fraction")  # its former name
    write_json(record, content)
    cut_chips(found, tmp_path / "out", ChipSettings(), Silent())
    assert "test_fraction" in json.loads(record.read_text())["settings"]
    with pytest.raises(UserError, match="'holdout' is now called 'test_fraction'"):
        ChipSettings.resolve(overrides=["holdout=0.5"])


def test_a_box_far_larger_than_its_image_makes_a_chip_of_the_image(images, tmp_path):
    found = read_annotations(coco(tmp_path, (1, [0, 0, 9e6, 30], 1)), images)
    cut_chips(found, tmp_path / "out", ChipSettings(margin=0), Silent())
    (chip,) = (tmp_path / "out").rglob("*.png")
    with Image.open(chip) as picture:
        assert picture.size == (80, 80)


def test_names_with_dots_find_their_own_images(images, tmp_path):
    for name in ("a.1", "P1__0.5__0___824"):
        Image.new("RGB", (40, 40)).save(images / f"{name}.png")
    labels = tmp_path / "labels"
    labels.mkdir()
    for name in ("a", "a.1", "P1__0.5__0___824"):
        (labels / f"{name}.txt").write_text("1 1 9 1 9 9 1 9 ship 0\n")
    found = read_annotations(labels, images)
    assert sorted(one.image.stem for one in found.objects) == ["P1__0.5__0___824", "a", "a.1"]
    assert not found.problems


def test_encodings_rotated_boxes_and_stray_files(images, tmp_path):
    dota, voc = tmp_path / "dota", tmp_path / "voc"
    for folder in (dota, voc):
        folder.mkdir()
    (dota / "a.txt").write_text("\ufeff1 1 9 1 9 9 1 9 ship 0\r\n", encoding="utf-8")
    (dota / "b.txt").write_bytes("1 1 9 1 9 9 1 9 飞机 0\n".encode("gbk"))
    found = read_annotations(dota, images)
    assert [one.class_name for one in found.objects] == ["ship"]
    assert "b.txt: not UTF-8" in found.problems[0]
    turned = zip(("left_top", "right_top", "right_bottom", "left_bottom"),
                 ((30, 10), (50, 20), (45, 30), (25, 20)), strict=True)  # fmt: skip
    corners = "".join(f"<x_{at}>{x}</x_{at}><y_{at}>{y}</y_{at}>" for at, (x, y) in turned)
    one = f"<object><name> ship </name><robndbox>{corners}</robndbox></object>"
    for name in ("a", "b"):
        text = f"<annotation><filename>{name}.png</filename>{one}</annotation>"
        (voc / f"{name}.xml").write_text(text)
    (voc / "classes.txt").write_text("ship\n")  # as labelImg leaves
    found = read_annotations(voc, images)
    assert {one.polygon for one in found.objects} == {((30, 10), (50, 20), (45, 30), (25, 20))}
    assert {one.class_name for one in found.objects} == {"ship"}


@pytest.mark.parametrize("name", ["", " ", "..", "a/b", "a\\b", "a\0b", "x" * 300])
def test_classes_that_cannot_name_a_folder_are_listed(images, tmp_path, name):
    path = coco(tmp_path, (1, [30, 20, 20, 20], 1))
    data = json.loads(path.read_text())
    data["categories"][0]["name"] = name
    path.write_text(json.dumps(data))
    (problem,) = read_annotations(path, images).problems
    assert "cannot name a folder" in problem


@pytest.mark.skipif("TGN_SHARED" not in os.environ, reason="needs real data: set TGN_SHARED")
def test_real_dota_labels_are_read_without_problems(tmp_path):
    with zipfile.ZipFile(Path(os.environ["TGN_SHARED"]) / "data" / "dota_tiny.zip") as archive:
        archive.extractall(tmp_path)
    labels = tmp_path / "train" / "labelTxt"
    found = read_annotations(labels, tmp_path / "train" / "images")
    lines = [
        line.split() for file in labels.glob("*.txt") for line in file.read_text().splitlines()
    ]
    assert len(found.objects) + len(found.problems) == sum(len(words) >= 9 for words in lines)
    assert len(found.objects) > 100


@pytest.mark.parametrize("part", [None, "train"])
def test_the_table_puts_each_chip_back_where_it_was_cut(images, tmp_path, part):
    labels, out = tmp_path / "labels", tmp_path / "out"
    labels.mkdir()
    (labels / "a.txt").write_text("30 20 50 22 48 40 28 38 ship 0\n0 0 20 0 20 10 0 10 plane 0\n")
    cut_chips(read_annotations(labels, images), out, ChipSettings(part=part), Silent())
    chips = read_chip_tables(out)
    assert sorted(chip.class_name for chip in chips.values()) == ["plane", "ship"]
    for file, chip in chips.items():
        with Image.open(out / file) as cut, Image.open(chip.image) as whole:
            assert chip.image.samefile(images / "a.png")
            assert cut.size == (chip.side, chip.side)
            place = chip.left + chip.side // 2, chip.top + chip.side // 2
            assert cut.getpixel((chip.side // 2,) * 2) == whole.convert("RGB").getpixel(place)
    ship = next(chip for chip in chips.values() if chip.class_name == "ship")
    assert ship.corners == ((30, 20), (50, 22), (48, 40), (28, 38))
    x, y = ship.corners_in_chip[0]
    assert (ship.left + x * ship.side, ship.top + y * ship.side) == pytest.approx((30, 20))


def test_a_damaged_table_of_chips_is_named(tmp_path):
    assert read_chip_tables(tmp_path) == {}
    columns = "file,class,image,x1,y1,x2,y2,x3,y3,x4,y4,left,top,side"
    (tmp_path / "chips.csv").write_text(f"{columns}\na.png,ship,a.png,0,0,1,0,1,1,0,1,0,0,?\n")
    with pytest.raises(DataError, match=r"chips.csv, line 2: expected numbers"):
        read_chip_tables(tmp_path)
