"""Sources of detection data: lists that choose images, and several sources as one."""

import json

import pytest
from PIL import Image

from tgn.data.annotations.readers import read_annotations, read_sources
from tgn.runtime.errors import DataError, NotFoundError

BOX = "<xmin>3</xmin><ymin>3</ymin><xmax>20</xmax><ymax>20</ymax>"


def voc_tree(root, names, listed, class_name="cat"):
    """Write a tree as VOCdevkit/VOC2007 is; return its list."""
    folders = [root / name for name in ("JPEGImages", "Annotations", "ImageSets/Main")]
    for folder in folders:
        folder.mkdir(parents=True)
    for name in names:
        Image.new("RGB", (32, 24)).save(folders[0] / f"{name}.jpg")
        one = f"<object><name>{class_name}</name><bndbox>{BOX}</bndbox></object>"
        (folders[1] / f"{name}.xml").write_text(f"<annotation>{one}</annotation>")
    file = folders[2] / "trainval.txt"
    file.write_text("".join(f"{name}\n" for name in listed))
    return file


def test_a_list_chooses_among_the_images_of_a_voc_tree(tmp_path):
    file = voc_tree(tmp_path, ["1", "2", "3.5"], ["3.5", "1"])
    (tmp_path / "Annotations" / "2.xml").write_text("damaged, and not asked for")
    images = tmp_path / "JPEGImages"
    beside, named = file, f"{tmp_path / 'Annotations'}@{file}"
    for labels in (beside, type(file)(named)):
        found = read_annotations(labels, images)
        assert [path.stem for path in found.images] == ["1", "3.5"]
        assert [one.image.stem for one in found.objects] == ["1", "3.5"]
        assert not found.problems


def test_a_list_chooses_among_the_images_of_a_coco_file(tmp_path):
    voc_tree(tmp_path, ["1", "2"], ["1"])
    images = [{"id": k, "file_name": f"{k}.jpg"} for k in (1, 2, 3)]  # 3 is not there
    boxes = [{"id": k, "image_id": k, "category_id": 1, "bbox": [1, 1, 9, 9]} for k in (1, 2, 3)]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "cat"}]}
    (tmp_path / "coco.json").write_text(json.dumps(content))
    (tmp_path / "list.txt").write_text("2.jpg\n")
    labels = tmp_path / f"coco.json@{tmp_path / 'list.txt'}"
    found = read_annotations(labels, tmp_path / "JPEGImages")
    assert [one.image.stem for one in found.objects] == ["2"]
    assert not found.problems
    (tmp_path / "coco.json").write_text(json.dumps({**content, "images": images[:1]}))
    with pytest.raises(DataError, match=r"1 of its 1 images have no label in .*coco\.json: 2\.jpg"):
        read_annotations(labels, tmp_path / "JPEGImages")


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ("1\n8\n9\n", "2 of its 3 images have no file in .*JPEGImages: 8, 9$"),
        ("1\n2\n", r"1 of its 2 images have no label in .*Annotations: 2$"),
        ("1 -1\n2  1\n", "says which images have one class"),
        ("\n", "lists no image"),
    ],
)
def test_what_a_list_names_must_be_there(tmp_path, listed, message):
    file = voc_tree(tmp_path, ["1", "2"], [])
    (tmp_path / "Annotations" / "2.xml").unlink()
    file.write_text(listed)
    with pytest.raises(DataError, match=message):
        read_annotations(file, tmp_path / "JPEGImages")


def test_a_list_without_labels_says_how_to_name_them(tmp_path):
    voc_tree(tmp_path / "voc", ["1"], [])
    (tmp_path / "alone.txt").write_text("1\n")
    with pytest.raises(NotFoundError, match="name the labels too: LABELS@"):
        read_annotations(tmp_path / "alone.txt", tmp_path / "voc" / "JPEGImages")
    with pytest.raises(NotFoundError, match="no list nowhere.txt"):
        read_annotations(tmp_path / "voc/Annotations@nowhere.txt", tmp_path)


def test_sources_may_have_files_of_equal_names(tmp_path):
    trees = tmp_path / "2007", tmp_path / "2012"
    lists = [
        voc_tree(tree, ["1", "2"], ["1"], name)
        for tree, name in zip(trees, ("cat", "Cat"), strict=True)
    ]
    sources = [(lists[k], trees[k] / "JPEGImages") for k in (0, 1)]
    found = read_sources(sources)
    assert len(set(found.images)) == 2
    assert {one.image for one in found.objects} == set(found.images)
    assert len({one.class_name for one in found.objects}) == 1  # spelt alike over both
    with pytest.raises(DataError, match="1 images are in two sources"):
        read_sources([*sources, sources[0]])
