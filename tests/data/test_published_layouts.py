"""Published data sets as they lie on the disk: numbered folders, lists, parts in class folders."""

import json
import zipfile
from pathlib import Path

import pytest
from layout_support import counts, fill, picture, plan
from tests_support import in_process

from tgn.cli.main import main
from tgn.data.annotations.chips import cut_chips
from tgn.data.annotations.readers import read_annotations
from tgn.data.annotations.settings import ChipSettings
from tgn.data.splits.class_names import PUBLISHED
from tgn.data.splits.image_groups import source_of_chip
from tgn.data.splits.make_split import plan_split, split_run
from tgn.data.splits.settings import ListedSplitSettings, SplitSettings
from tgn.runtime.errors import DataError, NotFoundError, UserError
from tgn.runtime.files import read_json, write_json
from tgn.runtime.progress import Silent


def numbered(root: Path, first: int = 0, classes: int = 3) -> Path:
    """Write ROOT/{train,test}/<number>/*.png, folder ``first`` the largest."""
    sizes = {str(first + k): 8 - k for k in range(classes)}
    fill(root / "train", 1, **sizes)
    fill(root / "test", 2, **dict.fromkeys(sizes, 2))
    return root


def test_published_maps_have_a_name_for_every_number():
    assert {name: len(names) for name, names in PUBLISHED.items()} == {
        "dior": 20,
        "dota": 15,
        "fgsc-23": 23,
    }
    for alphabetical in ("dior", "dota"):
        assert list(PUBLISHED[alphabetical]) == sorted(PUBLISHED[alphabetical])
    assert all(len(set(names)) == len(names) for names in PUBLISHED.values())
    # Their KMDN/Distill.py: head folders of DIOR; these are the first eight of their own list.
    head = [PUBLISHED["dior"][k] for k in (13, 18, 15, 0, 16, 2, 11, 19)]
    assert sorted(head) == [
        *("airplane", "baseball field", "harbor", "ship"),
        *("storage tank", "tennis court", "vehicle", "windmill"),
    ]
    assert [PUBLISHED["dota"][k] for k in (0, 7, 9, 10, 14)] == [
        *("baseball diamond", "plane", "ship", "small vehicle", "tennis court")
    ]
    assert [PUBLISHED["fgsc-23"][k] for k in (0, 10, 22)] == ["non-ship", "submarine", "barge"]


def test_numbered_folders_get_published_names(tmp_path):
    assert plan(numbered(tmp_path / "d")).names == ["0", "1", "2"]
    assert plan(tmp_path / "d", names="dior").names == ["airplane", "airport", "baseball field"]
    (tmp_path / "d/names.json").write_text('{"0": "x"}')
    assert plan(tmp_path / "d").names == ["x", "1", "2"]
    assert plan(tmp_path / "d", names="dota").names[0] == "baseball diamond"


def test_names_may_lie_in_a_file_elsewhere_and_go_with_a_list(in_tmp):
    data, file = numbered(in_tmp / "d"), in_tmp / "mine.json"
    file.write_text(json.dumps({"0": "air field"}))
    run, split = split_run(data, "one", SplitSettings(names=str(file)), Silent())
    assert split.names == ["air field", "1", "2"]
    listed = ListedSplitSettings(list_file=run.split_list_file, names="dior")
    assert plan_split(data, listed, Silent()).names[:2] == ["airplane", "airport"]


def test_names_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(UserError, match="names got 'imagenet', expected one of dior,"):
        plan(tmp_path, names="imagenet")
    data = fill(tmp_path / "d", 1, airplane=5, airport=5)
    with pytest.raises(DataError, match="class folders 0 to 19, the data has 'airplane'"):
        plan(data, names="dior")
    with pytest.raises(DataError, match="0 to 14, the data has '15'"):
        plan(numbered(tmp_path / "n", first=13), names="dota")
    with pytest.raises(NotFoundError, match=r"no file .*none.json"):
        plan(data, names=str(tmp_path / "none.json"))
    (tmp_path / "n.json").write_text('{"0": "airport"}')
    with pytest.raises(DataError, match="names none of the class folders, which are airplane"):
        plan(data, names=str(tmp_path / "n.json"))


def test_the_command_warns_of_numbers_and_names_end_the_warning(in_tmp, monkeypatch, capsys):
    run, data = in_process(main, monkeypatch, capsys), str(numbered(in_tmp / "d"))
    warned = run("split", data, "--dry-run")
    assert "the classes are called 0, 1, ..." in warned.stderr
    assert "--set names=dior" in warned.stderr
    named = run("split", data, "--dry-run", "--set", "names=dior")
    assert "airplane" in named.stdout
    assert "are called" not in named.stderr


@pytest.mark.parametrize("archive", [False, True])
def test_class_folders_may_hold_their_own_parts(tmp_path, archive):
    for seed, (part, number) in enumerate((("Train", 6), ("valid", 2), ("test", 3))):
        for k, name in enumerate(("ship", "plane")):
            for i in range(number):
                picture(tmp_path / "d" / name / part / f"{i}.png", 1000 * seed + 100 * k + i)
    data = tmp_path / "d"
    if archive:
        data = tmp_path / "d.zip"
        with zipfile.ZipFile(data, "w") as packed:
            for path in (tmp_path / "d").rglob("*.png"):
                packed.write(path, path.relative_to(tmp_path))
    split = plan(data)
    assert counts(split) == {"plane": (6, 2, 3), "ship": (6, 2, 3)}
    assert all("/test/" in file for file, _ in split.test)
    assert any("its own parts" in note for note in split.notes)


def test_parts_in_some_class_folders_only_are_refused(tmp_path):
    fill(tmp_path / "d/ship", 1, train=5, test=2)
    fill(tmp_path / "d", 2, plane=6)
    with pytest.raises(DataError, match="class 'ship' holds the folders of its parts, but 'plane'"):
        plan(tmp_path / "d")


def test_a_folder_called_train_in_a_class_is_no_part_alone(tmp_path):
    fill(tmp_path / "d/vehicle", 1, train=5, tram=3)
    fill(tmp_path / "d/toy", 2, train=6)
    assert sum(counts(plan(tmp_path / "d", val_fraction=0.0))["vehicle"]) == 8


@pytest.mark.parametrize(
    ("parts", "setting", "message"),
    [
        (("train", "val", "test"), {"val_fraction": 0.2}, "val_fraction got data with a val part"),
        (("train", "val", "test"), {"val_fraction": 0.0}, "leave val_fraction out"),
        (("train", "test"), {"test_fraction": 0.3}, "test_fraction got data with a test part"),
        (("train", "val"), {"test_per_class": 3}, "test_per_class got data with a test part"),
    ],
)
def test_how_to_draw_a_part_that_is_given_is_refused(tmp_path, parts, setting, message):
    for seed, part in enumerate(parts):
        fill(tmp_path / "d" / part, seed, a=6, b=6)
    with pytest.raises(UserError, match=message):
        plan(tmp_path / "d", **setting)


def test_a_validation_part_that_is_the_test_part_leaves_validation_to_be_drawn(tmp_path):
    for seed, part in enumerate(("train", "val")):
        fill(tmp_path / "d" / part, seed, a=6, b=6)
    assert counts(plan(tmp_path / "d", val_fraction=0.5)) == {"a": (3, 3, 6), "b": (3, 3, 6)}


@pytest.mark.parametrize("setting", [{"imbalance": 10}, {"class_order": "seeded"}])
def test_settings_of_a_profile_need_one(tmp_path, setting):
    with pytest.raises(UserError, match=r"got profile=none.*add profile="):
        plan(tmp_path, **setting)


def flat(root: Path, part: str, seed: int, number: int) -> str:
    """Write images of two classes into one folder; return the lines of their list."""
    for i in range(number):
        picture(root / f"{part}_{i}.png", 100 * seed + i)
    return "".join(f"{part}_{i}.png {i % 2}\n" for i in range(number))


@pytest.mark.parametrize(
    ("lists", "images"),
    [
        ("anno", "{}"),  # FGSC-23 with T2FTS' baseline
        ("anno/FGSC", "FGSC/{}/4"),  # with its three teachers
        ("anno/DOTA", "DOTA_{}/4"),  # and DOTA
    ],
)
def test_lists_of_flat_folders_as_t2fts_has_them(tmp_path, lists, images):
    folder = tmp_path / "d" / lists
    folder.mkdir(parents=True)
    for seed, (part, number) in enumerate((("train", 12), ("test", 6))):
        lines = flat(tmp_path / "d" / images.format(part), part, seed, number)
        (folder / f"FG_{part}.txt").write_text(lines)
    (folder / "FG_train1.txt").write_text("train_0.png 0\n")
    split = plan(tmp_path / "d", names="fgsc-23")
    assert counts(split) == {"0": (6, 0, 3), "1": (6, 0, 3)}
    assert split.names == ["non-ship", "aircraft carrier"]
    assert any("FG_train1.txt" in note for note in split.notes)


def test_lists_of_several_data_sets_in_one_anno_folder_are_refused(tmp_path):
    for name in ("FGSC", "DOTA"):
        (tmp_path / "anno" / name).mkdir(parents=True)
        (tmp_path / "anno" / name / "x_train.txt").write_text("a.png 0\n")
    picture(tmp_path / "train/a.png", 0)
    with pytest.raises(DataError, match="2 data sets, in DOTA, FGSC; move"):
        plan(tmp_path)


def dota(root: Path, names: str, seed: int) -> tuple[Path, Path]:
    """Write images of two objects each, labelled as DOTA's; return labels and images."""
    labels, images = root / "labelTxt", root / "images"
    labels.mkdir(parents=True)
    for k, name in enumerate(names):
        for part in range(2):
            file = f"P{name}__1__{part}___0"
            picture(images / f"{file}.png", 10 * (100 * seed + k) + part)
            objects = ("ship", "small-vehicle")
            (labels / f"{file}.txt").write_text(
                "".join(f"0 0 8 0 8 {8 - n} 0 {8 - n} {one} 0\n" for n, one in enumerate(objects))
            )
    return labels, images


def test_chips_of_given_parts_make_one_tree_that_split_takes(tmp_path):
    out = tmp_path / "chips"
    for seed, (part, names) in enumerate((("train", "abcd"), ("val", "ef"))):
        settings = ChipSettings(min_side=4, part=part)
        found = read_annotations(*dota(tmp_path / part, names, seed))
        cut_chips(found, out, settings, Silent())
        again = cut_chips(found, out, settings, Silent())  # the same call goes on
        assert again == {"ship": 2 * len(names), "small-vehicle": 2 * len(names)}
    split = plan(out, val_fraction=0.25)
    assert counts(split) == {"ship": (6, 2, 4), "small-vehicle": (6, 2, 4)}
    assert {file.split("/")[0] for file, _ in split.test} == {"val"}
    val = {source_of_chip(file) for file, _ in split.val}
    assert len(val) == 1  # both files cut from one image
    assert not val & {source_of_chip(file) for file, _ in split.train}


def test_a_part_that_was_not_written_to_its_end_is_no_data(tmp_path):
    found = read_annotations(*dota(tmp_path / "l", "ab", 0))
    cut_chips(found, tmp_path / "c", ChipSettings(min_side=4, part="train"), Silent())
    record = tmp_path / "c/train/chips.json"
    write_json(record, read_json(record) | {"complete": False})
    with pytest.raises(DataError, match=r"c/train is not finished"):
        plan(tmp_path / "c")


def test_a_given_part_of_chips_draws_none(tmp_path):
    with pytest.raises(UserError, match="test_fraction got part=train"):
        ChipSettings.resolve(None, ("part=train", "test_fraction=0.5"))
