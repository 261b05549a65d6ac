import pytest
import torch
from clip_support import write_small_clip
from score_support import FOLDERS, picture, write_generated

from tgn.data.manifest import FILTERED, active_rows
from tgn.metrics.memorisation import distances_within_classes
from tgn.models import extractors
from tgn.models.backbones import build_backbone, save_classifier
from tgn.models.settings import BackboneSettings
from tgn.runtime.errors import UserError
from tgn.runtime.files import read_json
from tgn.runtime.progress import Silent
from tgn.scoring import filter_criteria
from tgn.scoring.filter import filter_run, remove_filter
from tgn.scoring.score import score_run
from tgn.scoring.settings import FilterSettings, ScoreSettings

OFF = {"copy_percentile": 0, "duplicate_percentile": 0, "quality_percentile": 0}


def features(rows, seed=0):
    return torch.randn(rows, 6, generator=torch.Generator().manual_seed(seed))


def filtered(run, folder=None, **settings):
    chosen = FilterSettings(device="cpu", **{"extractor": "tail", **OFF, **settings})
    return filter_run(run, chosen, folder, Silent())[0]


def test_copies_are_dropped_and_fresh_images_kept():
    real, fresh = features(50), features(30, seed=1)
    generated, labels = torch.cat([real[:10], fresh]), torch.arange(40) % 2
    real_labels = torch.arange(50) % 2
    within = distances_within_classes(real, real_labels)
    thresholds = filter_criteria.class_thresholds(within, real_labels, labels, percentile=1)
    result = filter_criteria.copies(generated, labels, real, real_labels, thresholds)
    assert result.drop[:10].all()
    assert result.drop[10:].double().mean() < 0.2


def test_classes_have_thresholds_of_their_own():
    real = torch.tensor([[0.0], [1.0], [2.0], [100.0], [110.0], [120.0], [500.0]])
    real_labels, labels = torch.tensor([0, 0, 0, 1, 1, 1, 2]), torch.tensor([0, 1, 2, 2])
    within = distances_within_classes(real, real_labels)
    found = filter_criteria.class_thresholds(within, real_labels, labels, percentile=0)
    assert found.tolist() == [1, 10, 1, 1]  # one image: as all classes together


@pytest.mark.parametrize("chunk_size", [3, 1000])
def test_of_equal_images_of_a_class_the_first_stays(monkeypatch, chunk_size):
    blocks = filter_criteria.distance_blocks
    monkeypatch.setattr(filter_criteria, "distance_blocks", lambda a, b: blocks(a, b, chunk_size))
    table = features(4)[torch.tensor([0, 1, 0, 2, 1, 0, 3])]
    labels = torch.tensor([0, 0, 0, 0, 0, 1, 1])
    result = filter_criteria.duplicates(table, labels, torch.full((7,), 1e-6))
    assert result.drop.tolist() == [False, False, True, False, True, False, False]


def test_the_furthest_share_of_each_class_is_dropped():
    real = features(40)
    generated = torch.cat([features(38, seed=1), features(2, seed=2) + 20])
    labels, real_labels = torch.zeros(40, dtype=torch.int64), torch.zeros(40, dtype=torch.int64)
    result = filter_criteria.unlike_real(generated, labels, real, real_labels, percentile=5)
    assert result.drop.nonzero().flatten().tolist() == [38, 39]
    assert not filter_criteria.unlike_real(generated, labels, real, real_labels, 0).drop.any()


def test_improbable_images_are_dropped():
    probabilities = torch.tensor([[0.9, 0.1], [0.3, 0.7], [0.05, 0.95]])
    result = filter_criteria.too_improbable(
        "classifier", probabilities, torch.tensor([0, 0, 0]), 0.2
    )
    assert result.drop.tolist() == [False, False, True]


def test_other_stages_use_only_what_was_kept(mixed):
    folder = mixed.path / "generated"
    result = filtered(mixed, duplicate_percentile=1)
    assert result.counts()["dark"] == {"kept": 1, "near-duplicate": 19}
    assert result.counts()["pale"]["kept"] >= 10
    assert list(active_rows(folder, mixed.split())) == result.kept
    scores, _ = score_run(mixed, ScoreSettings(device="cpu", extractor="tail"), None, Silent())
    assert scores.classes[1].num_generated == 1
    assert len(list(folder.glob("dark/*.png"))) == 20  # nothing was deleted
    assert (folder / "filter.png").is_file()
    report = read_json(folder / "filter.json")
    assert report["tests"]["near-duplicate"]["dropped"] == 37 - len(result.kept)
    assert report["dropped"]["dark/7.png"] == ["near-duplicate"]
    assert remove_filter(folder)
    assert not remove_filter(folder)
    assert len(list(active_rows(folder, mixed.split()))) == 37


def test_copies_of_training_images_are_found_in_files(run):
    stripes = picture("pale", "new")
    stripes[::2] = 255
    copies = [picture("pale", f"pale/{i}.png") for i in range(12)]
    write_generated(run.path / "generated", {"pale": [*copies, stripes]})
    result = filtered(run, copy_percentile=1)
    assert result.counts()["pale"] == {"copy of a training image": 12, "kept": 1}
    assert [row.file for row in result.kept] == ["pale/12.png"]


def test_classifiers_are_used_or_named_as_missing(mixed):
    result = filtered(mixed, duplicate_percentile=1)
    assert set(result.skipped) == {"CLIP"}
    report = read_json(mixed.path / "generated" / "filter.json")
    assert set(report["judges"]) == {"distances", "classifier doubts"}
    assert report["judges"]["distances"]["trained_against"] is None
    filtered(mixed, duplicate_percentile=1, min_probability=0)
    report = read_json(mixed.path / "generated" / "filter.json")
    assert set(report["judges"]) == {"distances"}
    net = build_backbone(BackboneSettings(size=16), FOLDERS)
    torch.nn.init.zeros_(net.net.fc.weight)
    net.net.fc.bias.data = 9 * torch.eye(5)[1]  # predicts 'pale' for every image
    save_classifier(mixed.path / "classifier.safetensors", net)
    counts = filtered(mixed, classifier=mixed.path / "classifier.safetensors").counts()
    assert counts["pale"]["kept"] == 12
    assert counts["dark"] == {"classifier doubts": 20}


def test_an_image_of_all_real_images_of_its_class_is_not_judged(run):
    """Without them no fit knows the class; with one more it does."""
    pictures = {"single": [picture("pale", "new")], "absent": [picture("dark", "new")] * 2}
    sources = {"single": ["single/0.png"], "absent": ["absent/0.png"] * 2}
    write_generated(run.path / "generated", pictures, sources, others=["absent/1.png"])
    assert filtered(run).counts()["absent"] == {"classifier doubts": 2}
    others = ["absent/1.png", "absent/2.png"]
    write_generated(run.path / "generated", pictures, sources, others=others)
    assert len(filtered(run).kept) == 3


@pytest.mark.parametrize(("minimum", "real"), [(0.1, 30), (0, 24)])
def test_head_images_are_looked_at_only_to_fit_the_ridge(mixed, monkeypatch, minimum, real):
    computed = []
    plain = extractors.apply_network
    monkeypatch.setattr(
        extractors, "apply_network", lambda *given: computed.append(len(given[1])) or plain(*given)
    )
    filtered(mixed, duplicate_percentile=1, min_probability=minimum)
    assert sorted(computed) == [real, 37]


def test_head_classes_are_filtered_by_their_own_real_images(run):
    folder, striped = run.path / "every", {}
    for name in ("pale", "head"):
        striped[name] = picture(name, "one")
        striped[name][::2] = 0
    pictures = {
        "pale": [picture("pale", "pale/3.png"), striped["pale"]],
        "head": [striped["head"], picture("head", "head/2.png")],
    }
    write_generated(folder, pictures)
    result = filtered(run, folder, copy_percentile=1, min_probability=0)
    assert [row.file for row in result.kept] == ["pale/1.png", "head/0.png"]


def test_class_folders_of_another_generator(run):
    folder = run.path / "foreign"
    striped = picture("pale", "one")
    striped[::2] = 0
    write_generated(folder, {"pale": [picture("pale", "one")] * 3 + [striped]})
    (folder / "manifest.jsonl").unlink()
    result = filtered(run, folder, duplicate_percentile=1)
    assert [row.file for row in result.kept] == ["pale/0.png", "pale/3.png"]
    assert (folder / FILTERED).is_file()
    assert len(list(active_rows(folder, run.split()))) == 2


def test_mistakes(run):
    with pytest.raises(UserError, match="tgn generate"):
        filtered(run)
    write_generated(run.path / "generated", {"dark": [picture("dark", "dark/0.png")]})
    with pytest.raises(UserError, match="no image of .* passes"):
        filtered(run, copy_percentile=1)


def test_the_share_of_each_class_least_like_its_prompts_is_dropped():
    agreement = torch.tensor([0.1, 0.4, 0.3, 0.2, 0.9, 0.7, 0.8])
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 1])
    result = filter_criteria.least_like_prompts(agreement, labels, 50)
    assert result.drop.tolist() == [True, False, False, True, False, True, False]
    assert result.threshold.tolist() == pytest.approx([0.25] * 4 + [0.8] * 3)
    assert not filter_criteria.least_like_prompts(agreement, labels, 0).drop.any()


def test_the_better_half_by_clip_is_kept(mixed, tmp_path):
    clip = write_small_clip(tmp_path)
    only = {"min_probability": 0, "min_clip_probability": 0}
    result = filtered(mixed, clip=clip, clip_percentile=50, **only)
    assert result.counts()["pale"] == {"kept": 6, "least like its prompts": 6}
    assert result.counts()["single"] == {"kept": 3, "least like its prompts": 2}
    report = read_json(mixed.path / "generated" / "filter.json")
    assert list(report["tests"]) == ["least like its prompts"]
    assert report["judges"]["least like its prompts"]["name"] == f"clip {clip}"
    with pytest.raises(ValueError, match="clip_percentile=50 got no CLIP; it needs clip=arch:tag"):
        FilterSettings(clip_percentile=50)
