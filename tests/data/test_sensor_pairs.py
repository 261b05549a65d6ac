"""Camera and radar images that two tables pair: by id, into two trees of equal paths."""

import pytest
from conftest import draw_shape
from tests_support import Command, Stops, in_process

from classify.training.job import TrainingJob
from classify.training.settings import TrainSettings
from classify.training.train import train_classifier
from tgn.cli import main as cli
from tgn.data.runs import find_run
from tgn.data.sensor_pairs import id_of, read_pairs, write_pairs
from tgn.runtime.errors import DataError
from tgn.runtime.progress import Silent

ROWS = {
    "train": [(101, 0), (102, 0), (103, 1), (104, 1), (105, 0), (106, 1)],
    "test": [(7, 0), (8, 1)],
}
IMAGES = {"train": "kd_train", "test": "kd_val"}  # the folder of a test table is called otherwise


@pytest.fixture
def published(in_tmp):
    """Write the published tables and image folders; those of radar in another order."""
    data = in_tmp / "mover"
    for sensor in ("EO", "SAR"):
        for part, rows in ROWS.items():
            folder = data / f"{IMAGES[part]}_{sensor}"
            folder.mkdir(parents=True)
            for number, label in rows:
                draw_shape(label, number, 20).convert("L").save(folder / f"{sensor}_{number}.png")
            lines = [f"{sensor}_{number}.png,{label}" for number, label in rows]
            lines = lines if sensor == "EO" else lines[::-1]
            table = data / f"kd_{part}_{sensor}.csv"
            table.write_text("\n".join(["img_name,class_id", *lines, ""]))
    return data


@pytest.fixture
def tgn(monkeypatch, capsys) -> Command:
    return in_process(cli.main, monkeypatch, capsys)


@pytest.mark.parametrize("stem", ["EO_7", "SAR_7", "sar-7", "7_eo", "7"])
def test_the_sensor_is_no_part_of_the_id(stem):
    assert id_of(stem) == "7"
    assert id_of("video_7") == "video_7"


def test_the_published_tables_train_without_retyping(published, in_tmp, tgn):
    done = tgn("pairs", str(published), "pairs")
    assert done.code == 0, done.stderr
    assert "train 6, test 2" in done.stdout
    for sensor in ("EO", "SAR"):
        files = sorted(in_tmp.glob(f"pairs/{sensor.lower()}/*/*/*.png"))
        assert [
            str(file.relative_to(in_tmp / "pairs" / sensor.lower())) for file in files
        ] == sorted(
            f"{part}/{label}/{number}.png" for part, rows in ROWS.items() for number, label in rows
        )
        source = published / f"kd_train_{sensor}" / f"{sensor}_103.png"
        assert (
            in_tmp / f"pairs/{sensor.lower()}/train/1/103.png"
        ).read_bytes() == source.read_bytes()
    assert tgn("split", "pairs/eo", "--run", "eo", "--set", "val_fraction=0").code == 0
    run = find_run("eo")
    chosen = TrainSettings.model_validate(
        {
            "arch": "tiny", "steps": 2, "batch_size": 4, "size": 16, "bands": 1, "device": "cpu",
            "method": "cross-modality", "cross_modality": {"paired": "pairs/sar"},
        }
    )  # fmt: skip
    assert train_classifier(run, TrainingJob(run.classifiers / "kd"), chosen, Silent())["n"] == 2


def test_equal_names_of_both_sensors_are_told_apart_by_their_folders(published):
    for file in published.glob("kd_*/*.png"):
        file.rename(file.with_name(id_of(file.stem) + ".png"))
    for table in published.glob("*.csv"):
        table.write_text(table.read_text().replace("EO_", "").replace("SAR_", ""))
    found = read_pairs(published).images
    assert {found[sensor]["101"].file.parent.name for sensor in found} == {
        "kd_train_EO",
        "kd_train_SAR",
    }


def test_an_interrupted_copy_is_no_data_until_it_is_finished(published, in_tmp, tgn):
    with pytest.raises(KeyboardInterrupt):
        write_pairs(read_pairs(published), in_tmp / "pairs", Stops(3))
    assert "pairs/eo is not finished" in tgn("split", "pairs/eo").stderr.replace("\n", " ")
    assert tgn("pairs", str(published), "pairs").code == 0
    assert tgn("split", "pairs/eo").code == 0
    table = published / "kd_train_EO.csv"
    table.write_text(table.read_text().replace("EO_106.png,1\n", ""))
    table = published / "kd_train_SAR.csv"
    table.write_text(table.read_text().replace("SAR_106.png,1\n", ""))
    assert "written with other settings" in tgn("pairs", str(published), "pairs").stderr


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("SAR_103.png,1\n", "", "kd_train_EO.csv line 4: 103 is in no table of SAR"),
        ("SAR_103.png,1", "SAR_103.png,0", r"103 is 1 \(train\), but 0 \(train\) in kd_train_SAR"),
        ("SAR_103.png", "SAR_999.png", "kd_train_SAR.csv line 5: no image SAR_999.png below"),
        ("SAR_103.png,1", "SAR_104.png,1", "104 is in kd_train_SAR.csv line 4 too"),
        ("class_id", "class", "lacks the column 'class_id'"),
        (",1", ",../1", "cannot name a folder"),
    ],
)
def test_what_does_not_pair_is_named(published, old, new, message):
    table = published / "kd_train_SAR.csv"
    table.write_text(table.read_text().replace(old, new))
    with pytest.raises(DataError, match=message):
        read_pairs(published)


def test_an_image_of_training_is_not_tested_on(published):
    for sensor in ("EO", "SAR"):
        table = published / f"kd_test_{sensor}.csv"
        table.write_text(table.read_text() + f"{sensor}_103.png,1\n")
    with pytest.raises(DataError, match=r"103 is in kd_te\w+_EO.csv line \d too"):
        read_pairs(published)


def test_a_sensor_without_a_table_is_named(published):
    (published / "kd_train_SAR.csv").unlink()
    (published / "kd_test_SAR.csv").unlink()
    with pytest.raises(DataError, match="no table of SAR images; expected e.g. train_EO.csv"):
        read_pairs(published)
