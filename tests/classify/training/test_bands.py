"""Images of many bands: read from arrays, classified, and refused where they do not fit."""

import numpy as np
import pytest

from classify.training.job import TrainingJob
from classify.training.settings import TrainSettings
from classify.training.train import train_classifier
from tgn.data.images import check_image, decode_resized
from tgn.data.splits.make_split import split_run
from tgn.data.splits.settings import SplitSettings
from tgn.models.backbones import load_classifier
from tgn.runtime.errors import DataError
from tgn.runtime.progress import Silent


@pytest.fixture
def spectral_run(in_tmp):
    """Two classes that differ in the fifth band only; one file is no array."""
    draw = np.random.default_rng(0)
    for part, count in (("train", 12), ("test", 6)):
        for label, name in enumerate(("dry", "wet")):
            folder = in_tmp / "data" / part / name
            folder.mkdir(parents=True)
            for i in range(count - 2 * label):
                pixels = draw.integers(0, 60, (20, 20, 5), dtype=np.uint8)
                pixels[:, :, 4] += 120 * label
                np.save(folder / f"{i}.npy", pixels)
    np.save(in_tmp / "data" / "train" / "dry" / "bad.npy", np.array([{}], dtype=object))
    return split_run(in_tmp / "data", "spectral", SplitSettings(val_fraction=0), Silent())[0]


def test_a_classifier_learns_from_the_fifth_band(spectral_run):
    settings = TrainSettings(
        arch="tiny", steps=25, batch_size=16, size=16, bands=5, device="cpu", precision="float32"
    )
    result = train_classifier(
        spectral_run, TrainingJob(spectral_run.path / "c"), settings, Silent()
    )
    assert result["balanced"] > 0.9
    assert load_classifier(spectral_run.path / "c" / "classifier.safetensors").facts.bands == 5
    assert [file for file, _ in spectral_run.split().left_out] == ["train/dry/bad.npy"]


def test_another_number_of_bands_is_an_error(spectral_run):
    settings = TrainSettings(arch="tiny", steps=1, size=16, device="cpu")
    with pytest.raises(DataError, match="has 5 bands, 3 are asked for; use --set bands="):
        train_classifier(spectral_run, TrainingJob(spectral_run.path / "c"), settings, Silent())


@pytest.mark.parametrize("array", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 2), np.float32)])
def test_arrays_are_bytes_with_bands(tmp_path, array):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(DataError, match="expected uint8"):
        check_image((tmp_path / "x.npy").read_bytes(), "x.npy")


def test_bands_are_resized_as_pictures_are(tmp_path):
    ramp = np.linspace(0, 200, 32).astype(np.uint8)
    pixels = np.stack([np.tile(ramp, (32, 1)), np.tile(ramp[:, None], (1, 32))], axis=2)
    np.save(tmp_path / "x.npy", pixels)
    small = decode_resized((tmp_path / "x.npy").read_bytes(), "x.npy", 8, 2)
    assert small.shape == (2, 8, 8)
    assert np.array_equal(small[0], small[1].T)
    assert np.all(np.diff(small[0][0].astype(int)) > 0)
