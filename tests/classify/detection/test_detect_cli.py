"""`classify detect` as a user types it."""

import json

import pytest
from PIL import Image, ImageDraw
from tests_support import Command, in_process

from classify.cli import main as cli
from classify.cli.detect_training import _default_name
from classify.detection.settings.detector import DetectSettings
from tgn.cli import main as tgn_cli
from tgn.runtime.files import read_json

QUICK = ["--device", "cpu", "--set", "size=64", "--set", "batch_size=2", "--set", "fpn_channels=32"]
EAGER = ["--set", "optimizer=sgd", "--set", "steps=1"]  # it finds something everywhere


@pytest.fixture
def run_cli(monkeypatch, capsys) -> Command:
    return in_process(cli.main, monkeypatch, capsys)


@pytest.fixture
def run_tgn(monkeypatch, capsys) -> Command:
    return in_process(tgn_cli.main, monkeypatch, capsys)


@pytest.fixture
def coco(in_tmp):
    """Write six images with a square each; the last label is faulty."""
    (in_tmp / "images").mkdir()
    images, boxes = [], []
    for number in range(6):
        picture = Image.new("RGB", (64, 48), (120, 120, 120))
        left = 5 + 4 * number
        ImageDraw.Draw(picture).rectangle((left, 10, left + 20, 30), (230, 220, 90))
        picture.save(in_tmp / "images" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png"})
        size = [left, 10, 20, 20 if number < 5 else 0]
        boxes.append({"id": number, "image_id": number, "category_id": number % 2, "bbox": size})
    classes = [{"id": 0, "name": "court"}, {"id": 1, "name": "field"}]
    content = {"images": images, "annotations": boxes, "categories": classes}
    (in_tmp / "labels.json").write_text(json.dumps(content))
    return ["labels.json", "images"]


def test_train_evaluate_show(coco, in_tmp, run_cli):
    done = run_cli("detect", "train", *coco, *QUICK, "--set", "steps=2", "--name", "x")
    assert done.code == 0, done.stderr
    assert "5 and 1 images" in done.stderr
    assert "zero area" in done.stderr
    folder = in_tmp / "runs" / "detect" / "x"
    metrics = read_json(folder / "metrics.json")
    assert (metrics["images"], metrics["classes"]) == (1, ["court", "field"])
    done = run_cli("detect", "evaluate", *coco, "--device", "cpu")
    assert done.code == 0, done.stderr
    assert read_json(folder / "detector-on-labels.json")["images"] == 6
    done = run_cli("detect", "show", *coco, "pictures", "--device", "cpu", "--min-score", "0")
    assert done.code == 0, done.stderr
    assert len(list((in_tmp / "pictures").glob("*.png"))) == 6
    run_cli(
        "detect", "show", *coco, "labelled", "--annotations-only", "--rotated", "--max-images", "2"
    )
    with Image.open(in_tmp / "labelled" / "0.png") as picture:
        assert picture.getpixel((5, 20)) == (255, 255, 255)  # the box's left edge
        assert picture.getpixel((50, 40)) == (120, 120, 120)


def test_a_teacher_a_student_and_its_publication(coco, in_tmp, run_cli):
    quick = [*QUICK, "--set", "detector=gfl", "--set", "steps=1"]
    assert run_cli("detect", "train", *coco, *quick, "--name", "large").code == 0
    student = ["--distill", "ld+kd", "--teacher", "large"]
    done = run_cli("detect", "train", *coco, *quick, *student)
    assert done.code == 0, done.stderr
    done = run_cli(
        "detect", "publish", "student.safetensors", "--name", "gfl-tf_efficientnet_lite0-ld+kd"
    )
    assert done.code == 0, done.stderr
    assert "1 steps" in done.stdout
    words = ["--name", "student.safetensors", "--submission", "sent", "--device", "cpu"]
    done = run_cli("detect", "evaluate", *coco, *words)
    assert done.code == 0, done.stderr
    assert len(list((in_tmp / "sent").glob("Task2_*.txt"))) == 2
    assert read_json(in_tmp / "student-on-labels.json")["images"] == 6
    done = run_cli("detect", "train", *coco, *quick, "--distill", "ld", "--teacher", "who")
    assert done.code == 2
    assert "no detector 'who' in " in done.stderr
    assert "there are: gfl-tf_efficientnet_lite0-ld+kd, large" in done.stderr
    done = run_cli("detect", "train", *coco, *quick, "--distill", "lsh")
    assert done.code == 2
    assert "not for gfl" in done.stderr


def test_drawn_images_train_a_detector_of_rotated_boxes(in_tmp, run_cli, run_tgn):
    settings = ["--set", "train=6", "--set", "test=2", "--set", "imbalance=1"]
    assert run_tgn("scenes", "drawn", "--boxes", "rotated", *settings).code == 0
    parts = [[f"drawn/{part}/labelTxt", f"drawn/{part}/images"] for part in ("train", "test")]
    rotated = ["--set", "detector=rotated-retinanet", "--set", "steps=1"]
    done = run_cli("detect", "train", *parts[0], *QUICK, *rotated, "--test", *parts[1])
    assert done.code == 0, done.stderr
    assert "6 and 2 images" in done.stderr
    done = run_cli("detect", "show", *parts[1], "pictures", "--min-score", "0", "--device", "cpu")
    assert done.code == 0, done.stderr
    assert len(list((in_tmp / "pictures").glob("*.png"))) == 2
    done = run_cli("detect", "evaluate", *parts[1], "--csv", "found.csv", "--device", "cpu")
    assert done.code == 0, done.stderr
    assert (in_tmp / "found.csv").read_text().startswith("image,class,score,x1,y1,x2,")
    (file,) = (in_tmp / "runs" / "detect").glob("*/detector-on-test-labelTxt.json")
    result = read_json(file)
    assert result["analysis"]["rule"] == "voc12"
    missed = sum(row["missed"] for row in result["analysis"]["errors"].values())
    assert missed == sum(row["objects"] for row in result["by_class"]) > 0
    assert file.with_suffix(".html").is_file()


def test_plans_and_errors(coco, run_cli):
    done = run_cli("detect", "train", *coco, *QUICK, "--dry-run")
    assert done.code == 0
    assert "would do: train" in done.stdout
    assert "faster-rcnn" in done.stdout
    rotated = ["--set", "detector=rotated-retinanet", "--set", "box_loss=kld"]
    done = run_cli("detect", "train", *coco, *QUICK, *rotated, "--dry-run")
    assert "ld_weight: 15.0" in done.stdout  # defaults that depend on other settings
    assert "nms_candidates: 2000" in done.stdout
    done = run_cli("detect", "evaluate", *coco)
    assert done.code == 2
    assert "classify detect train" in done.stderr
    done = run_cli("detect", "train", "nowhere.json", "images")
    assert done.code == 2
    assert "no labels in nowhere.json" in done.stderr


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "gfl-tf_efficientnet_lite0"),
        ({"distill": "ld"}, "gfl-tf_efficientnet_lite0-ld"),
        ({"imitation": {"region": "gibox"}}, "gfl-tf_efficientnet_lite0-gibox"),
        ({"distill": "ld", "imitation": {"region": "gt"}}, "gfl-tf_efficientnet_lite0-ld-gt"),
    ],
)
def test_the_default_name_says_how_a_student_is_taught(changes, name):
    assert _default_name(DetectSettings(detector="gfl", **changes)) == name


def test_a_dry_run_finds_the_errors_of_the_training(coco, in_tmp, run_cli):
    short = [*QUICK, "--set", "steps=1", "--set", "detector=retinanet"]  # its maps are compared
    quick = [*short, "--dry-run"]
    made = run_cli("detect", "train", *coco, *short, "--name", "large")
    assert made.code == 0, made.stderr
    narrow = ["--set", "fpn_channels=64", "--distill", "l2", "--teacher", "large"]
    for words, named in (
        (["--distill", "lsh"], "needs a teacher"),
        (["--teacher", "large"], "distill=none"),
        (["--set", "backbone_weights=nothere.pth"], "nothere.pth"),
        (["--set", "lr=3", "--name", "large"], "lr differ"),
        (["--set", "lr=["], "not YAML"),
        (["--name", "../out"], "--name got"),
        (narrow, "--set fpn_channels=32"),
    ):
        done = run_cli("detect", "train", *coco, *quick, *words)
        assert done.code == 2, words
        assert named in done.stderr
    assert [path.name for path in (in_tmp / "runs" / "detect").iterdir()] == ["large"]


def test_a_student_takes_the_order_of_its_teachers_classes(coco, in_tmp, run_cli):
    quick = [*QUICK, "--set", "detector=gfl", "--set", "steps=1"]
    assert run_cli("detect", "train", *coco, *quick, "--name", "large").code == 0
    labels = json.loads((in_tmp / "labels.json").read_text())
    labels["annotations"] = [one for one in labels["annotations"] if one["image_id"] != 2]
    labels["annotations"].append({**labels["annotations"][1], "id": 9})
    (in_tmp / "others.json").write_text(json.dumps(labels))  # more fields than courts
    student = ["--distill", "ld", "--teacher", "large", "--name", "small"]
    done = run_cli("detect", "train", "others.json", "images", *quick, *student)
    assert done.code == 0, done.stderr
    metrics = read_json(in_tmp / "runs" / "detect" / "small" / "metrics.json")
    assert metrics["classes"] == ["court", "field"]


def test_files_of_the_user_are_not_written_over(coco, in_tmp, run_cli):
    before = (in_tmp / "images" / "0.png").read_bytes()
    done = run_cli("detect", "show", *coco, "images", "--annotations-only")
    assert done.code == 2
    assert "images themselves" in done.stderr
    assert (in_tmp / "images" / "0.png").read_bytes() == before
    run_cli("detect", "train", *coco, *QUICK, "--set", "steps=1", "--name", "x")
    (in_tmp / "other.safetensors").write_bytes(b"mine")
    for name, named in (("keep.pt", "ends in .safetensors"), ("other.safetensors", "other")):
        done = run_cli("detect", "publish", name, "--name", "x")
        assert done.code == 2
        assert named in done.stderr
    assert (in_tmp / "other.safetensors").read_bytes() == b"mine"
    done = run_cli("detect", "publish", "out.safetensors", "--name", "y")
    assert done.code == 2
    assert "no checkpoint" in done.stderr


def test_a_test_part_that_is_trained_on_is_warned_of(coco, run_cli):
    words = ["--test", *coco, "--set", "steps=1"]
    done = run_cli("detect", "train", *coco, *QUICK, *words)
    assert done.code == 0
    assert "6 test images are trained on" in done.stderr
    rotated = ["--set", "detector=rotated-retinanet", "--dry-run"]
    done = run_cli("detect", "train", *coco, *QUICK, *rotated)
    assert "no annotated box is rotated" in done.stderr


def test_images_without_annotations_are_evaluated(coco, in_tmp, run_cli):
    run_cli("detect", "train", *coco, *QUICK, "--set", "steps=1", "--name", "x")
    words = ["images", "images", "--name", "x", "--device", "cpu"]
    done = run_cli("detect", "evaluate", *words, "--submission", "sent")
    assert done.code == 0, done.stderr
    assert len(list((in_tmp / "sent").glob("Task2_*.txt"))) == 2


def test_unknown_classes_of_a_test_part_are_left_out_on_request(coco, in_tmp, run_cli):
    labels = json.loads((in_tmp / "labels.json").read_text())
    labels["categories"].append({"id": 2, "name": "bridge"})
    labels["annotations"][0]["category_id"] = 2
    (in_tmp / "more.json").write_text(json.dumps(labels))
    words = ["detect", "train", *coco, *QUICK, "--test", "more.json", "images", "--name", "x"]
    done = run_cli(*words, "--set", "steps=1")
    assert done.code == 2
    assert "bridge: not among the classes of the training" in done.stderr
    assert "--skip-unknown" in done.stderr
    done = run_cli(*words, "--set", "steps=1", "--skip-unknown")
    assert done.code == 0, done.stderr
    assert "classes that the training lacks are left out: bridge (1)" in done.stderr
    metrics = read_json(in_tmp / "runs" / "detect" / "x" / "metrics.json")
    assert list(metrics["coco"]["per_class"]) == metrics["classes"] == ["court", "field"]
    done = run_cli("detect", "evaluate", "more.json", "images", "--device", "cpu")
    assert (done.code, "--skip-unknown" in done.stderr) == (2, True)


def test_a_plan_says_what_the_network_sees(coco, in_tmp, run_cli):
    plan = ["detect", "train", *coco, *QUICK[:2], "--dry-run"]
    done = run_cli(*plan)
    assert "each image is scaled to a long side of 448 px" in done.stdout
    assert "images are trained on" in done.stdout
    done = run_cli(*plan, "--set", "tile_size=64")
    assert "each shown at 64 px; smaller images have the same scale" in done.stdout
    Image.new("RGB", (200, 100), (120, 120, 120)).save(in_tmp / "images" / "0.png")
    done = run_cli(*plan, "--set", "tile_size=64", "--set", "test_fraction=0.17")
    assert "8 of the 8 without objects are left out (empty_share=0)" in done.stdout


def test_a_plan_says_how_long_and_at_which_rates(coco, run_cli):
    chosen = (
        "epochs=3", "lr=0.01", "lr_schedule=milestones", "milestones=[2]", "warmup_steps=1",
        "patience=2",
    )  # fmt: skip
    words = [word for one in chosen for word in ("--set", one)]
    plan = ["detect", "train", *coco, *QUICK, *words, "--dry-run"]
    done = run_cli(*plan)
    assert done.code == 2
    assert "patience has no effect without a validation part" in done.stderr
    done = run_cli(*plan, "--validation", *coco)
    assert done.code == 0, done.stderr
    assert "warning: 1 validation images are test images" in done.stderr
    shown = " ".join(done.stdout.split())
    assert "6 steps of 2 images (3 epochs of 2 steps); learning rate from 0.00167 to 0.01" in shown
    assert "0.001 after epoch 2, step 4; 6 validation images are looked at every 2 steps" in shown
    assert "steps: 6 #" in shown
    done = run_cli(*plan, "--set", "validation_share=0.4")
    assert "train" in done.stdout
    assert "on 3 and 1 images" in done.stdout
    assert run_cli(*plan[:-1], "--set", "validation_share=0.4", "--name", "x").code == 0


def test_a_damaged_image_is_named(coco, in_tmp, run_cli):
    file = in_tmp / "images" / "0.png"
    file.write_bytes(file.read_bytes()[:120])
    done = run_cli("detect", "train", *coco, *QUICK, "--set", "steps=4")
    assert done.code == 2
    assert "images/0.png: damaged" in done.stderr


def test_several_sources_with_their_lists_are_one_training_part(in_tmp, run_cli):
    words = []
    for year in ("VOC2007", "VOC2012"):
        folders = [in_tmp / year / n for n in ("JPEGImages", "Annotations", "ImageSets/Main")]
        for folder in folders:
            folder.mkdir(parents=True)
        for name in "123":
            Image.new("RGB", (64, 48)).save(folders[0] / f"{name}.jpg")
            box = "<xmin>3</xmin><ymin>3</ymin><xmax>30</xmax><ymax>30</ymax>"
            one = f"<object><name>cat</name><bndbox>{box}</bndbox></object>"
            (folders[1] / f"{name}.xml").write_text(f"<annotation>{one}</annotation>")
        (folders[2] / "trainval.txt").write_text("1\n2\n")
        (folders[2] / "test.txt").write_text("3\n")
        words.append([f"{year}/ImageSets/Main/trainval.txt", f"{year}/JPEGImages"])
    test = ["--test", "VOC2007/ImageSets/Main/test.txt", "VOC2007/JPEGImages"]
    done = run_cli("detect", "train", *words[0], *words[1], *test, *QUICK, "--dry-run")
    assert done.code == 0, done.stderr
    assert "on 4 and 1 images" in done.stdout
    assert "warning" not in done.stderr
    done = run_cli("detect", "train", *words[0], words[1][0], *test, *QUICK, "--dry-run")
    assert done.code == 2
    assert "trainval.txt got no IMAGES" in done.stderr


@pytest.mark.usefixtures("charts")
def test_evaluation_files_and_files_of_detections(coco, in_tmp, run_cli):
    labels = json.loads((in_tmp / "labels.json").read_text())
    labels["categories"][1]["name"] = "<b>field"
    (in_tmp / "labels.json").write_text(json.dumps(labels))
    done = run_cli("detect", "train", *coco, *QUICK, *EAGER, "--name", "x")
    assert "objects" in done.stdout  # of each class
    assert "AP50 voc07" in done.stdout
    words = ["--csv", "a.csv", "--coco", "a.json", "--min-score", "0.1", "--device", "cpu"]
    done = run_cli("detect", "evaluate", *coco, *words)
    assert done.code == 0, done.stderr
    folder = in_tmp / "runs" / "detect" / "x"
    result = read_json(folder / "detector-on-labels.json")
    assert [row["objects"] for row in result["by_class"]] == [3, 2]
    assert result["analysis"]["min_score"] == 0.1
    lines = (folder / "detector-on-labels.csv").read_text().splitlines()
    assert lines[0].startswith("class,objects,difficult,detections,voc07_ap,")
    assert lines[1].startswith("court,3,0,")
    page = (folder / "detector-on-labels.html").read_text()
    assert "&lt;b&gt;field" in page
    assert "<b>field" not in page
    assert page.count("data:image") >= 3  # curves, confusion, a picture
    found = json.loads((in_tmp / "a.json").read_text())
    assert {row["image_id"] for row in found} <= set(range(6))
    assert 0 < len(found) == len((in_tmp / "a.csv").read_text().splitlines()) - 1
    for words in (["--coco", "labels.json"], ["--coco", "a", "--csv", "a"]):
        done = run_cli("detect", "evaluate", *coco, *words, "--device", "cpu")
        assert (done.code, "would be written over" in done.stderr) == (2, True)


def test_prediction_of_a_folder_without_labels(coco, in_tmp, run_cli):
    run_cli("detect", "train", *coco, *QUICK, *EAGER, "--name", "x")
    (in_tmp / "images" / "sub").mkdir()
    Image.new("RGB", (90, 70), (99, 120, 80)).save(in_tmp / "images" / "sub" / "0.jpg")
    words = ["--min-score", "0.05", "--device", "cpu"]
    done = run_cli("detect", "predict", "images", "out.csv", "--coco", "out.json", *words)
    assert done.code == 0, done.stderr
    images = json.loads((in_tmp / "out.images.json").read_text())["images"]
    assert [row["file_name"] for row in images] == [*(f"{k}.png" for k in range(6)), "sub/0.jpg"]
    rows = (in_tmp / "out.csv").read_text().splitlines()
    assert len(rows) - 1 == len(json.loads((in_tmp / "out.json").read_text())) > 0
    (in_tmp / "images" / "3.png").write_bytes(b"no picture")
    done = run_cli("detect", "predict", "images", "fewer.csv", *words)
    assert done.code == 2
    assert "left out: images/3.png" in done.stderr
    assert "1 could not be read" in done.stderr
    named = {row.split(",")[0] for row in (in_tmp / "fewer.csv").read_text().splitlines()}
    assert named == {row.split(",")[0] for row in rows} - {"3.png"}
    for out, named in (
        ("out.txt", "ends in .csv or .json"),
        ("dota", "several images are called 0"),
        ("images", "would be written over"),
    ):
        done = run_cli("detect", "predict", "images", out, *words)
        assert (done.code, named in done.stderr) == (2, True), done.stderr


def test_pictures_of_chosen_images(coco, in_tmp, run_cli):
    show = ["detect", "show", *coco, "out", "--device", "cpu"]
    (in_tmp / "names.txt").write_text("4\n\n1.png\n")
    done = run_cli(*show, "--annotations-only", "--image", "3.png", "--list", "names.txt")
    assert done.code == 0, done.stderr
    assert sorted(path.name for path in (in_tmp / "out").iterdir()) == ["1.png", "3.png", "4.png"]
    done = run_cli(*show, "--annotations-only", "--image", "3.jpg")
    assert done.code == 2
    assert "no image '3.jpg' among the 6; there are, e.g.: 3.png" in done.stderr
    done = run_cli(*show, "--annotations-only", "--worst")
    assert (done.code, "--worst needs detections" in done.stderr) == (2, True)
    run_cli("detect", "train", *coco, *QUICK, "--set", "steps=1", "--name", "x")
    done = run_cli(*show, "--worst", "--max-images", "2", "--min-score", "0.99")
    assert done.code == 0, done.stderr
    assert "worst first: 0.png, 1.png" in done.stdout  # F1 0 of all that have an object
    assert "2 pictures" in done.stdout
