"""The image folder: counts, resume, and folders that are not ours."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tgn.runtime.errors import UserError
from tgn.runtime.files import read_json
from tgn.scenes.draw import CLASS_NAMES, draw_chip
from tgn.scenes.settings import ScenesSettings
from tgn.scenes.write import chip_generator, count_scenes, write_scenes

TINY = ScenesSettings(largest=3, imbalance=3.0, test_per_class=1)


def files_of(out: Path) -> dict[str, bytes]:
    return {str(file.relative_to(out)): file.read_bytes() for file in out.rglob("*.png")}


def test_profile_counts():
    longtail = count_scenes(ScenesSettings())
    balanced = count_scenes(ScenesSettings(profile="balanced", largest=70))

    assert list(longtail.train) == list(CLASS_NAMES)
    assert len(CLASS_NAMES) == 12
    assert list(longtail.train.values()) == [200, 152, 116, 88, 67, 51, 39, 30, 23, 17, 13, 10]
    assert set(longtail.test.values()) == {50}
    assert set(balanced.train.values()) == {70}
    assert longtail.total == 806 + 600


def test_folder_holds_what_was_promised(tmp_path):
    counted = []
    counts = write_scenes(tmp_path / "out", TINY, counted.append)

    found = files_of(tmp_path / "out")
    assert counted == list(range(1, counts.total + 1))
    assert len(found) == counts.total
    for class_name in CLASS_NAMES:
        folder = tmp_path / "out" / "train" / class_name
        assert len(list(folder.iterdir())) == counts.train[class_name]
    record = read_json(tmp_path / "out" / "scenes.json")
    assert record == {"complete": True, "settings": TINY.model_dump()}


def test_a_chip_depends_on_its_own_key_only(tmp_path):
    write_scenes(tmp_path, TINY)
    stored = np.asarray(Image.open(tmp_path / "train" / "ship" / "00001.png"))

    longer = TINY.model_copy(update={"largest": 50, "test_per_class": 9})
    drawn = draw_chip("ship", chip_generator(longer, "train", "ship", 1), 32)
    np.testing.assert_array_equal(stored, drawn)

    for part, index, seed in [("test", 1, 0), ("train", 0, 0), ("train", 1, 5)]:
        other = TINY.model_copy(update={"seed": seed})
        rng = chip_generator(other, part, "ship", index)
        assert not np.array_equal(stored, draw_chip("ship", rng, 32))


def test_resume_after_interruption_gives_the_same_bytes(tmp_path):
    def stop_at_ten(done):
        if done == 10:
            raise KeyboardInterrupt

    write_scenes(tmp_path / "whole", TINY)
    with pytest.raises(KeyboardInterrupt):
        write_scenes(tmp_path / "cut", TINY, stop_at_ten)
    assert len(files_of(tmp_path / "cut")) == 10
    assert read_json(tmp_path / "cut" / "scenes.json")["complete"] is False
    (tmp_path / "cut" / "train" / "aircraft" / ".00001.png.x.part").write_bytes(b"half")

    write_scenes(tmp_path / "cut", TINY)

    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")
    assert not list((tmp_path / "cut").rglob("*.part"))


def test_foreign_folders_are_refused(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.png").write_bytes(b"keep me")
    with pytest.raises(UserError, match="not of this command"):
        write_scenes(tmp_path / "mine", TINY)
    with pytest.raises(UserError, match="is a file"):
        write_scenes(tmp_path / "mine" / "photo.png", TINY)
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["photo.png"]


def test_other_settings_and_damaged_records_are_refused(tmp_path):
    write_scenes(tmp_path, TINY)
    with pytest.raises(UserError, match="seed differ"):
        write_scenes(tmp_path, TINY.model_copy(update={"seed": 1}))
    for damage in ("{", "[]", "{}", '{"settings": 3}'):
        (tmp_path / "scenes.json").write_text(damage)
        with pytest.raises(UserError, match="damaged"):
            write_scenes(tmp_path, TINY)


@pytest.mark.parametrize(
    "override", ["size=31", "imbalance=0.5", "largest=0", "profile=odd", "colour=red"]
)
def test_wrong_settings_are_refused(override):
    with pytest.raises(UserError, match=override.split("=")[0]):
        ScenesSettings.resolve(overrides=[override])


def test_a_profile_that_empties_a_class_is_refused(tmp_path):
    with pytest.raises(UserError, match="without images"):
        write_scenes(tmp_path / "out", ScenesSettings(largest=5, imbalance=100.0))
    assert not (tmp_path / "out").exists()
