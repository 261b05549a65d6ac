"""The figures beside the floor of held-out real images, and who judged."""

import json

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from score_support import FOLDERS, picture, save, write_generated

from tgn.data.manifest import ManifestRow
from tgn.data.split import ClassEntry, Split, write_split
from tgn.models.backbones import build_backbone, save_classifier
from tgn.models.pretrained import IMAGENET, file_of
from tgn.models.settings import BackboneSettings
from tgn.models.training_networks import TrainingNetwork, as_header
from tgn.probe.judge_classifier import JudgeClassifier
from tgn.runtime.checkpoints import save_weights
from tgn.runtime.errors import UserError
from tgn.runtime.files import read_json, sha256_of
from tgn.runtime.progress import Silent
from tgn.scoring.filter import filter_run
from tgn.scoring.generator_networks import networks_behind
from tgn.scoring.score import score_run
from tgn.scoring.settings import FilterSettings, ScoreSettings
from tgn.scoring.summary import NONE
from tgn.scoring.tables import by_trust, class_table, fitted_title, judges_line

MOBILENET, LITE = "mobilenetv2_100", "tf_efficientnet_lite0"
TRAIN = {"head": 24, "pale": 24, "dark": 24}
OFF = {"copy_percentile": 0, "duplicate_percentile": 0, "quality_percentile": 0}


@pytest.fixture
def installed():
    for arch in (MOBILENET, LITE):
        try:
            file_of(IMAGENET[arch])
        except UserError as error:
            pytest.skip(str(error))


@pytest.fixture
def tested(run):
    """The run with two tail classes that have training and test images."""
    parts = {}
    for part in ("train", "test"):
        files = [(f"{part}/{name}/{i}.png", k) for k, name in enumerate(TRAIN) for i in range(24)]
        for file, k in files:
            save(run.path.parent / "data" / file, picture(FOLDERS[k], file))
        parts[part] = files
    entries = [ClassEntry(folder=f, name=f, train=n, val=0, test=24) for f, n in TRAIN.items()]
    split = Split(root="../data", classes=entries, num_head=1, val=(), **parts)
    write_split(run.path / "split.json", split)
    torch.manual_seed(0)
    net = build_backbone(BackboneSettings(size=16), tuple(TRAIN))
    save_classifier(run.path / "kmdn" / "tail.safetensors", net)
    return run


def sources(name):
    return [f"train/{name}/{i}.png" for i in range(24)]


def write(run, change=None, weights_sha256=""):
    """Write changed training images as if they had been generated."""
    pictures = {
        name: [
            change(picture(name, file)) if change else picture(name, file) for file in sources(name)
        ]
        for name in ("pale", "dark")
    }
    given = {name: sources(name) for name in pictures}
    write_generated(run.path / "generated", pictures, given, weights_sha256)


def score(run, **settings):
    chosen = ScoreSettings(device="cpu", **{"extractor": "tail", **settings})
    return score_run(run, chosen, None, Silent())[0]


def test_copies_are_told_by_every_figure(tested):
    write(tested)
    scores = score(tested)
    pooled, floor = scores.pooled, scores.pooled.floor
    assert pooled.copies.share.value == pooled.own_source.value == 1
    assert pooled.copies.held_out.value < 0.5
    assert pooled.copies.threshold is None
    assert all(entry.copies.threshold > 0 for entry in scores.classes)
    assert pooled.energy == pytest.approx((1, 1, 1))
    assert floor.energy == pytest.approx((1, 1, 1), rel=0.1)
    assert pooled.separability.value == floor.separability.value
    assert floor.separability.value == pytest.approx(0.5, abs=0.2)
    assert pooled.manifold.recall.value == 1
    assert pooled.held_out_manifold.recall.value < 1
    assert 0 < floor.held_out_manifold.recall.value <= 1
    assert scores.worth.gain == pytest.approx(0)
    assert scores.headline == scores.worth.sentence
    assert "worth nothing" in scores.headline
    assert scores.worth.num_held_out == 48
    assert floor.num_images == 48


def test_blurred_images_lack_fine_bands_and_are_told_apart(tested):
    def blur(pixels):
        return np.asarray(Image.fromarray(pixels).filter(ImageFilter.BoxBlur(1)))

    write(tested, blur)
    scores = score(tested)
    assert scores.pooled.energy[0] < 0.2
    assert scores.pooled.energy[0] < scores.pooled.energy[2] < 1
    assert scores.pooled.separability.value > 0.9
    assert {row.name: row.value for row in scores.summary}["energy, finest bands / real"] < "0.20"


def test_agreement_is_by_a_fit_without_the_source(tested):
    """A training image of one class in the folder of another is known by its source alone."""
    pictures = {"pale": [picture("dark", file) for file in sources("dark")]}
    write_generated(tested.path / "generated", pictures, {"pale": sources("dark")})
    scores = score(tested)
    assert scores.pooled.agreement.value < 0.3
    assert scores.classifier.name == "ridge on tail"
    assert "without its source" in scores.classifier.seen
    assert scores.pooled.floor.agreement.value > 0.9
    write_generated(tested.path / "generated", pictures)
    assert "not known" in score(tested).classifier.seen


def test_judges_have_seen_neither_the_source_nor_the_others(tested, monkeypatch):
    """Rows of 'pale' begin at 24 in the training set, those of 'dark' at 48."""
    given, plain = [], JudgeClassifier.probabilities

    def spy(judge, features, made_from=None):
        given.append(made_from)
        return plain(judge, features, made_from)

    monkeypatch.setattr(JudgeClassifier, "probabilities", spy)
    own, others = sources("dark")[:3], [sources("dark")[1], sources("pale")[5]]
    pictures = {"dark": [picture("dark", file) for file in own]}
    write_generated(tested.path / "generated", pictures, {"dark": own}, others=others)
    score(tested)
    filter_run(tested, FilterSettings(device="cpu", extractor="tail", **OFF), None, Silent())
    expected = [[48, 49, 29], [49, 29, -1], [50, 49, 29]]
    assert [rows.tolist() for rows in given if rows is not None] == [expected, expected]


def test_recall_column_is_against_held_out_images(tested):
    write(tested)
    scores = score(tested)
    columns, rows = class_table(scores)
    assert "own source" in columns
    recall = scores.classes[0].held_out_manifold.recall.value
    assert rows[0][columns.index("recall, held-out")] == f"{100 * recall:.1f}%"
    small = scores.classes[0].model_copy(update={"held_out_manifold": None})
    mixed = scores.model_copy(update={"classes": (small, *scores.classes[1:])})
    columns, rows = class_table(mixed)  # no recall against training images in its place
    assert rows[0][columns.index("recall, held-out")] == NONE
    none = [one.model_copy(update={"held_out_manifold": None}) for one in scores.classes]
    assert "recall, training" in class_table(mixed.model_copy(update={"classes": tuple(none)}))[0]


def test_the_judge_is_one_that_the_generator_does_not_know(tested, installed):
    def generator(*networks):
        header = {"trained_against": as_header(networks)}
        save_weights(tested.cdtg_generator, {"x": torch.zeros(1)}, header)
        write(tested, weights_sha256=sha256_of(tested.cdtg_generator))

    tail_net = TrainingNetwork("tail net", sha256_of(tested.path / "kmdn" / "tail.safetensors"))
    generator(tail_net)
    scores = score(tested, extractor="auto")
    assert scores.extractor.name == f"imagenet/{MOBILENET}"
    assert scores.extractor.trained_against is False
    assert scores.classifier.trained_against is False
    assert scores.pooled.copies.share.value == scores.pooled.own_source.value == 1
    assert "the generator was not trained against it" in judges_line(scores)
    generator(tail_net, TrainingNetwork("CLIP arch:tag", ""))  # any network may be that one
    assert score(tested, extractor="auto").extractor.trained_against is None
    assert score(tested).extractor.trained_against is True  # the tail net
    generator(tail_net, TrainingNetwork("critic", IMAGENET[MOBILENET].sha256))
    assert score(tested, extractor="auto").extractor.name == f"imagenet/{LITE}"
    chosen = FilterSettings(device="cpu", **{**OFF, "quality_percentile": 5})
    filter_run(tested, chosen, None, Silent())
    judges = read_json(tested.path / "generated" / "filter.json")["judges"]
    assert judges["distances"] == {
        "name": f"imagenet/{LITE}",
        "weights_sha256": IMAGENET[LITE].sha256,
        "resize": "bicubic, antialiased, to 128 px",
        "trained_against": False,
        "seen_sources": "ImageNet only: none of these images",
    }
    assert "without its source" in judges["classifier doubts"]["seen_sources"]


def test_a_clip_that_guided_the_sampling_counts_as_a_loss(tested, tmp_path):
    save_weights(tested.denoiser, {"x": torch.zeros(1)}, {"trained_against": as_header(())})
    (tmp_path / "clip.pt").write_bytes(b"weights")
    given = {"weights_sha256": sha256_of(tested.denoiser), "class_index": 1, "index": 0}
    how = {"clip": f"ViT-B-32:{tmp_path / 'clip.pt'}", "clip_guidance": 1.0}
    guided = ManifestRow(file="a.png", folder="pale", how=json.dumps(how), **given)
    plain = ManifestRow(file="a.png", folder="pale", **given)
    (network,) = networks_behind(tested, [guided, plain])
    assert network.sha256 == sha256_of(tmp_path / "clip.pt")
    assert networks_behind(tested, [plain]) == ()
    of_others = plain.model_copy(update={"weights_sha256": "of another run"})
    assert networks_behind(tested, [plain, of_others]) is None


def test_figures_by_the_teacher_are_marked_and_apart(tested):
    tail_net = TrainingNetwork("tail net", sha256_of(tested.path / "kmdn" / "tail.safetensors"))
    save_weights(tested.cdtg_generator, {"x": torch.zeros(1)}, {"tail_net_sha256": tail_net.sha256})
    write(tested, weights_sha256=sha256_of(tested.cdtg_generator))
    scores = score(tested)  # a file of an older version: it counts as trained against the tail net
    assert scores.extractor.trained_against is scores.classifier.trained_against is True
    trusted, fitted = by_trust(scores)
    assert {row.name.split(",")[0] for row in trusted} == {"energy"}
    assert "recall, held-out images" in {row.name for row in fitted}
    assert fitted_title(fitted).startswith("the generator was trained against tail, which")
    assert "not to be believed" in scores.headline
    assert "agreement" not in class_table(scores)[0]
    tested.cdtg_generator.unlink()
    assert score(tested).extractor.trained_against is None
