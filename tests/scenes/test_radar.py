"""The radar's view: of the same scene, with speckle, layover and shadow where they belong."""

import numpy as np
import pytest
from PIL import Image

from tgn.runtime.errors import UserError
from tgn.scenes.canvas import Canvas, Pose
from tgn.scenes.draw import CLASS_NAMES, draw_chip, draw_pair
from tgn.scenes.radar import render_radar
from tgn.scenes.settings import ScenesSettings
from tgn.scenes.shapes import box
from tgn.scenes.write import write_scenes


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("class_name", CLASS_NAMES)
def test_the_camera_sees_what_it_would_see_alone(class_name):
    eo, sar = draw_pair(class_name, rng(1), rng(2), 64)
    assert np.array_equal(eo, draw_chip(class_name, rng(1), 64))
    assert (sar.shape, sar.dtype) == ((64, 64, 1), np.uint8)
    other = draw_pair(class_name, rng(1), rng(3), 64)
    assert np.array_equal(other[0], eo)
    assert not np.array_equal(other[1], sar)


def test_a_block_echoes_towards_the_radar_and_throws_a_shadow_away_from_it():
    canvas = Canvas(64, rng(0))
    canvas.pixels[:] = 0.4
    block, middle = box(0.2, 0.2), Pose(0.0, 0.0, 0.0, 1.0)
    canvas.cast_shadow(block, middle, 0.3)
    seen = np.mean([render_radar(canvas, rng(seed))[:, :, 0] for seed in range(40)], axis=0)
    row = seen[32]
    ground = row[:8].mean()
    # The wall at column 25.6 is 9.6 columns high: its echo falls up to 10.6 columns to the left.
    assert row[14:26].max() > ground + 60
    # Behind the block, from column 38.4 on, the shadow is 9.6 / 0.55 = 17.5 columns long.
    assert row[42:54].mean() < ground - 40
    assert abs(row[60:].mean() - ground) < 15
    assert abs(seen[4].mean() - ground) < 10


def test_speckle_multiplies():
    canvas = Canvas(64, rng(0))
    canvas.pixels[:] = 0.4
    power = 10 ** (render_radar(canvas, rng(1)).astype(float) * 34 / 255 / 10)
    assert 0.3 < power.std() / power.mean() < 1.1


def test_pairs_lie_in_two_folders_under_equal_names(tmp_path):
    settings = ScenesSettings(largest=2, imbalance=1, test_per_class=1, size=32, modality="eo,sar")
    both = tmp_path / "both"
    write_scenes(both, settings)
    names = [
        sorted(str(p.relative_to(both / s)) for p in (both / s).rglob("*.png"))
        for s in ("eo", "sar")
    ]
    assert names[0] == names[1]
    assert len(names[0]) == 36
    write_scenes(tmp_path / "eo", settings.model_copy(update={"modality": "eo"}))
    name = "train/aircraft/00001.png"
    assert (both / "eo" / name).read_bytes() == (tmp_path / "eo" / name).read_bytes()
    with Image.open(both / "sar" / name) as image:
        assert image.mode == "L"
    with pytest.raises(UserError, match="modality differ"):
        write_scenes(both, settings.model_copy(update={"modality": "sar"}))
