"""Two plain folders without a run: scored and filtered."""

import numpy as np
import pytest
import torch
from PIL import Image
from score_support import FOLDERS, picture, save
from torchvision.models import resnet18

from tgn.data.manifest import FILTERED
from tgn.models.backbones import build_backbone, save_classifier
from tgn.models.settings import BackboneSettings
from tgn.runtime.errors import DataError, NotFoundError, UserError
from tgn.runtime.files import read_json, read_json_lines, read_model
from tgn.runtime.progress import Silent
from tgn.scoring.class_predictors import UNKNOWN
from tgn.scoring.filter import ONE_CLASS, filter_folders, remove_filter
from tgn.scoring.results import Scores
from tgn.scoring.score import score_folders, score_run
from tgn.scoring.settings import FilterSettings, ScoreSettings
from tgn.scoring.tables import class_table

OFF = {"copy_percentile": 0, "duplicate_percentile": 0, "quality_percentile": 0}


@pytest.fixture
def net(tmp_path):
    """A classifier file: an extractor, and a predictor of classes."""
    path = tmp_path / "net.safetensors"
    torch.manual_seed(0)
    save_classifier(path, build_backbone(BackboneSettings(size=16), FOLDERS))
    return path


def write(folder, pictures):
    """Write {class folder, or "": list of pixels}."""
    for name, images in pictures.items():
        for i, pixels in enumerate(images):
            save(folder / name / f"{i:02}.png", pixels)
    return folder


@pytest.fixture
def folders(tmp_path):
    """Generated: copies of 'pale', one picture of 'dark' again and again, and 'odd'."""
    pale = [picture("pale", f"pale/{i}.png") for i in range(12)]
    generated = {"pale": pale, "dark": [picture("dark", "new")] * 6, "odd": [pale[0]]}
    real = {"pale": pale, "dark": [picture("dark", i) for i in range(8)], "absent": [pale[0]]}
    return write(tmp_path / "generated", generated), write(tmp_path / "real", real)


def score(folders, extractor, run=None, out=None, **settings):
    chosen = ScoreSettings(device="cpu", extractor=str(extractor), **settings)
    return score_folders(folders, chosen, Silent(), run, out)


def filtered(folders, extractor, **settings):
    chosen = FilterSettings(device="cpu", extractor=str(extractor), **{**OFF, **settings})
    return filter_folders(folders, chosen, Silent())[0]


def test_class_folders_are_matched_by_name(folders, net, tmp_path):
    scores, path = score(folders, net)
    assert path == tmp_path / "generated.scores.json"
    assert read_model(path, Scores) == scores
    dark, pale = scores.classes
    assert (dark.name, dark.num_generated, dark.num_real) == ("dark", 6, 8)
    assert (pale.copies.share.value, dark.feature_diversity.generated) == (1, 0)
    assert (tmp_path / pale.copies.nearest[0].real).is_file()
    assert (scores.generated, scores.reference) == ("generated", "real")
    assert scores.extractor.trained_against is None
    assert scores.extractor.name == "classifier-tiny"
    assert scores.not_computed["class odd"] == f"{folders[1]} has no such class folder"
    assert scores.not_computed["class absent"] == f"{folders[0]} has no such class folder"
    assert scores.classifier.name == "ridge on classifier-tiny"
    assert "not known" in scores.classifier.seen
    assert (scores.worth, scores.pooled.floor) == (None, None)
    assert "no held-out real images" in scores.headline
    assert "tgn split" in scores.not_computed["classification_accuracy"]
    nearest = read_json(tmp_path / "generated.scores.nearest.json")
    assert nearest["generated/pale/03.png"] == {"real": "real/pale/03.png", "distance": 0}
    assert [row[0] for row in class_table(scores)[1]] == ["dark", "pale"]
    assert not list(tmp_path.glob("**/features"))


def test_equals_the_score_of_a_run_of_the_same_images(mixed, tmp_path):
    """The tail classes as plain folders have the metrics that they have in the run."""
    for name in ("pale", "dark", "single"):
        (tmp_path / "real").mkdir(exist_ok=True)
        (tmp_path / "real" / name).symlink_to(tmp_path / "data" / name)
    whole, _ = score_run(mixed, ScoreSettings(device="cpu", extractor="tail"), None, Silent())
    folders = (mixed.path / "generated", tmp_path / "real")
    scores, path = score(folders, "tail", mixed, tmp_path / "here" / "scores.json")
    assert path == tmp_path / "here" / "scores.json"
    for entry in scores.classes:
        same = next(other for other in whole.classes if other.name == entry.name)
        assert entry.copies is None or entry.copies.share.value == same.copies.share.value
        assert entry.feature_diversity.generated == same.feature_diversity.generated
        assert entry.num_real == same.num_real
    assert scores.pooled.feature_diversity.generated == whole.pooled.feature_diversity.generated
    assert scores.pooled.num_compared == whole.pooled.num_compared
    assert scores.extractor == whole.extractor


@pytest.mark.parametrize("flat", [0, 1])
def test_a_flat_folder_is_compared_as_a_whole(folders, net, tmp_path, flat):
    files = [path for path in sorted(folders[flat].rglob("*.png"))]
    pixels = [np.asarray(Image.open(path)) for path in files]
    pair = [*folders]
    pair[flat] = write(tmp_path / "flat", {"": pixels})
    scores, _ = score(tuple(pair), net, classifier=net)
    assert scores.classes == ()
    assert scores.pooled.num_generated == 19
    assert scores.pooled.num_real == 21
    assert scores.pooled.kid is not None
    assert scores.pooled.feature_diversity.ratio > 0
    assert scores.classifier is scores.pooled.agreement is None
    assert "no class folders" in scores.not_computed["agreement"]


def test_agreement_where_a_classifier_is_given(folders, net):
    scores, _ = score(folders, net, classifier=net)
    assert scores.classifier.seen == UNKNOWN
    assert 0 <= scores.pooled.agreement.value <= 1
    assert "agreement" not in scores.not_computed


def test_other_extractors_and_sizes(folders, tmp_path):
    torch.save(resnet18(weights=None).state_dict(), tmp_path / "net.pth")
    scores, _ = score(folders, f"resnet18:{tmp_path / 'net.pth'}", size=32)
    assert (scores.extractor.name, scores.size) == ("resnet18", 32)


def test_filter_of_two_folders(folders, net):
    folder, real = folders
    (folder / "odd" / "00.png").unlink()
    outcome = filtered(folders, net, duplicate_percentile=1)
    assert outcome.counts()["dark"] == {"kept": 1, "near-duplicate": 5}
    kept = [row["file"] for row in read_json_lines(folder / FILTERED)]
    assert "dark/00.png" in kept
    assert len(kept) == len(outcome.kept)
    assert set(outcome.skipped) == {"CLIP"}
    assert score(folders, net)[0].classes[0].num_generated == 1
    everything = filtered(folders, net, classifier=net, min_probability=1e-9)
    assert len(everything.kept) == 18  # a filter starts from all images again
    assert remove_filter(folder)


def test_filter_of_flat_folders(folders, net, tmp_path):
    images = [picture("pale", i) for i in range(5)]
    flat = write(tmp_path / "flat", {"": [*images, images[0]]})
    for _ in range(2):  # the second time filter.png lies among the images
        outcome = filtered((flat, folders[1]), net, duplicate_percentile=1)
        assert outcome.counts() == {"": {"kept": 5, "near-duplicate": 1}}
    assert (flat / "filter.png").is_file()
    assert "no class folders" in outcome.skipped["classifier"]
    assert score((flat, folders[1]), net)[0].pooled.num_generated == 5


def test_of_one_class_no_classifier_can_be_fitted(tmp_path, net):
    generated = write(tmp_path / "generated", {"pale": [picture("pale", i) for i in range(4)]})
    real = write(tmp_path / "real", {"pale": [picture("pale", f"real {i}") for i in range(6)]})
    assert filtered((generated, real), net).skipped["classifier"] == ONE_CLASS
    assert set(filtered((generated, real), net, classifier=net).skipped) == {"CLIP"}
    assert set(filtered((generated, real), net, min_probability=0).skipped) == {"CLIP"}


def test_mistakes(folders, net, tmp_path, run):
    with pytest.raises(UserError, match="there is no run; add --run NAME.*NAME:FILE"):
        score(folders, "tail")
    with pytest.raises(UserError, match="there is no run; add --run NAME"):
        filtered(folders, "tail")
    other = write(tmp_path / "other", {"cat": [picture("pale", 1)]})
    with pytest.raises(UserError, match=r"no class folder is in both: .*dark, odd, pale; .*cat"):
        score((folders[0], other), net)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty has no images"):
        score((tmp_path / "empty", folders[1]), net)
    with pytest.raises(NotFoundError, match="no folder .*nowhere"):
        score((folders[0], tmp_path / "nowhere"), net)
    with pytest.raises(UserError, match="class folders odd, which .*real has not"):
        filtered(folders, net)
    one = write(tmp_path / "one", {"": [picture("pale", 1)]})
    with pytest.raises(UserError, match="got 1 real image a class, expected 2 or more"):
        filtered((folders[0], one), net, copy_percentile=1)
    (one / "00.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"00\.png: not an image"):
        score((one, folders[1]), net)
