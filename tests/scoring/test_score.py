import json

import numpy as np
import pytest
import torch
from clip_support import write_small_clip
from score_support import FOLDERS, picture, save, write_generated
from torchvision.models import squeezenet1_1

from tgn.data.splits.folds import Folds, write_folds
from tgn.metrics.proportions import subsample_to_proportions
from tgn.models import extractors
from tgn.models.backbones import build_backbone, save_classifier
from tgn.models.feature_cache import FeatureCache
from tgn.models.pretrained import PERCEPTUAL, file_of
from tgn.models.settings import BackboneSettings
from tgn.runtime.errors import UserError
from tgn.runtime.files import read_json, read_model, sha256_of, write_json
from tgn.runtime.progress import Silent
from tgn.scoring.class_predictors import NOT_SEEN, PARTLY_SEEN
from tgn.scoring.results import Scores
from tgn.scoring.score import score_run
from tgn.scoring.settings import ScoreSettings
from tgn.scoring.tables import by_trust, class_table, pooled_note


def score(run, folder=None, **settings):
    """Score in the features of the tail net, which is fast; the judge is tested apart."""
    chosen = ScoreSettings(device="cpu", **{"extractor": "tail", **settings})
    return score_run(run, chosen, folder, Silent())


def test_metrics_of_copies_and_of_repeated_images(mixed):
    scores, path = score(mixed)
    pale, dark, single = scores.classes
    assert (pale.name, pale.num_generated, pale.num_real) == ("pale", 12, 12)
    assert pale.copies.share.value == 1
    assert pale.copies.nearest[0].distance == 0
    assert pale.copies.nearest[0].generated.startswith("generated/pale/")
    assert (mixed.path / pale.copies.nearest[0].real).resolve().is_file()
    assert pale.feature_diversity.ratio == pytest.approx(1)
    assert dark.feature_diversity.generated == 0
    assert dark.feature_diversity.ratio == 0
    assert dark.kid.value > pale.kid.value
    assert single.kid is single.copies is None
    assert single.feature_diversity.ratio is None
    assert "1 real" in " ".join(single.notes)
    assert scores.pooled.feature_diversity.real == pytest.approx(
        (pale.feature_diversity.real + dark.feature_diversity.real) / 2
    )
    assert path == mixed.path / "scores" / "generated-tail.json"
    assert read_model(path, Scores) == scores
    assert json.loads(path.read_text())["classes"][1]["feature_diversity"]["ratio"] == 0


def test_missing_metrics_are_listed(mixed):
    scores, _ = score(mixed)
    assert set(scores.not_computed) == {
        "lpips_diversity", "clip_agreement, cmmd", "class absent", "classification_accuracy",
        "figures against held-out real images",
    }  # fmt: skip
    assert "squeezenet1_1" in scores.not_computed["lpips_diversity"]
    assert "generate --class absent" in scores.not_computed["class absent"]
    assert all(entry.fid is None for entry in (*scores.classes, scores.pooled))
    assert (
        "FID not reported: 12 generated, 12 real, both must be >= 2048" in scores.classes[0].notes
    )
    assert scores.extractor.name == "tail"
    assert len(scores.extractor.weights_sha256) == 64
    assert scores.size == 16


def test_metrics_of_given_files_are_computed(mixed, tmp_path):
    torch.save(squeezenet1_1(weights=None).state_dict(), tmp_path / "squeeze.pth")
    scores, _ = score(
        mixed,
        lpips=f"squeeze:{tmp_path / 'squeeze.pth'}",
        classifier=mixed.path / "kmdn" / "tail.safetensors",
        min_count_for_fid=10,
        size=32,
    )
    pale, dark, _ = scores.classes
    assert set(scores.not_computed) == {
        "clip_agreement, cmmd", "class absent", "classification_accuracy",
        "figures against held-out real images",
    }  # fmt: skip
    assert pale.fid.value == pytest.approx(0, abs=1e-6)
    assert dark.fid is None
    assert pale.lpips_diversity.ratio == pytest.approx(1, rel=1e-4)
    assert dark.lpips_diversity.generated == pytest.approx(0, abs=1e-6)
    assert 0 <= scores.pooled.agreement.low <= scores.pooled.agreement.value <= 1
    weights = [entry.num_generated for entry in scores.classes]
    shares = [entry.agreement.value for entry in scores.classes]
    assert scores.pooled.agreement.value == pytest.approx(np.average(shares, weights=weights))
    assert scores.lpips.name == "lpips 0.1 squeeze"


def test_st_lpips_is_reported_under_its_own_name(mixed):
    try:
        file_of(PERCEPTUAL["st-alex"])
    except UserError as error:
        pytest.skip(str(error))
    scores, _ = score(mixed, lpips="st-alex", size=32)
    assert scores.lpips.name == "ST-LPIPS alex"
    assert scores.lpips.weights_sha256 == PERCEPTUAL["st-alex"].sha256
    pale, dark, _ = scores.classes
    assert pale.lpips_diversity.ratio == pytest.approx(1, rel=1e-4)
    assert dark.lpips_diversity.generated == pytest.approx(0, abs=1e-6)
    assert any(row.name == "ST-LPIPS alex diversity / real" for row in scores.summary)


def test_images_too_small_for_lpips_are_refused_before_any_work(mixed, tmp_path, monkeypatch):
    torch.save(squeezenet1_1(weights=None).state_dict(), tmp_path / "squeeze.pth")
    monkeypatch.setattr(FeatureCache, "features", None)  # no network is applied
    with pytest.raises(UserError, match=r"lpips=squeeze got images of 16 px.*least 17.*size=32"):
        score(mixed, lpips=f"squeeze:{tmp_path / 'squeeze.pth'}")


def test_small_sets_are_noted(mixed):
    scores, _ = score(mixed)
    notes = " ".join(scores.classes[0].notes)
    assert "density and coverage (training) not reported: 12 generated, 12 real" in notes
    assert scores.classes[0].manifold is None
    assert scores.pooled.manifold.precision.value > 0.5  # 20 of each
    assert scores.classes[0].vendi.generated == pytest.approx(scores.classes[0].vendi.real)
    assert scores.classes[1].vendi.generated == pytest.approx(1, abs=1e-3)  # one picture, repeated


def test_metrics_of_a_given_clip(mixed, tmp_path):
    clip = write_small_clip(tmp_path)
    scores, _ = score(mixed, clip=clip)
    assert set(scores.not_computed) == {
        "lpips_diversity", "class absent", "classification_accuracy",
        "figures against held-out real images",
    }  # fmt: skip
    assert scores.clip.weights_sha256 == sha256_of(tmp_path / "clip.safetensors")
    assert 0 <= scores.pooled.clip_agreement.value <= 1
    own, _ = score(mixed, extractor=f"clip/{clip}")
    assert own.extractor == scores.clip
    pale, dark, _ = scores.classes
    assert pale.cmmd == pytest.approx(0, abs=1e-3)
    assert dark.cmmd > pale.cmmd


def test_features_are_cached_by_content(mixed, monkeypatch):
    first, _ = score(mixed)
    computed = []
    plain = extractors.apply_network
    monkeypatch.setattr(
        extractors, "apply_network", lambda *given: computed.append(len(given[1])) or plain(*given)
    )
    assert score(mixed)[0] == first
    assert computed == []
    save(mixed.path / "generated" / "dark" / "0.png", picture("dark", "another"))
    assert score(mixed)[0] != first
    assert computed == [37, 37]  # features and spectrum
    score(mixed, keep_features=False)
    assert computed == [37, 37, 30, 37, 24, 37]  # the spectrum of compared images only


def test_accuracy_score_is_read_if_it_is_of_these_images(mixed):
    entry = {"mean": 0.4, "half_width": 0.1, "values": []}
    other = {"mean": 0.5, "half_width": None, "values": []}
    found = {
        "seeds": 3,
        "generated_sha256": sha256_of(mixed.path / "generated" / "manifest.jsonl"),
        "recipes": {"generated-tail-only": {"tail": entry}, "real-tail-only": {"tail": other}},
    }
    write_json(mixed.path / "compare.json", found)
    accuracy = score(mixed)[0].classification_accuracy
    assert (accuracy.generated.low, accuracy.generated.value) == pytest.approx((0.3, 0.4))
    assert accuracy.real.value == 0.5
    write_json(mixed.path / "compare.json", {**found, "generated_sha256": "of others"})
    assert score(mixed)[0].classification_accuracy is None


def test_folds_classify_images_of_unseen_sources(mixed):
    """Net 0 always predicts 'pale', net 1 'dark'; the source decides which is applied."""
    folder = mixed.path / "classify" / "f"
    for fold, predicted in enumerate((1, 2)):
        net = build_backbone(BackboneSettings(size=16), FOLDERS)
        torch.nn.init.zeros_(net.net.fc.weight)
        net.net.fc.bias.data = torch.eye(5)[predicted]
        save_classifier(
            mixed.path / "classify" / "f" / f"fold-{fold}" / "classifier.safetensors", net
        )
    fold_of = {f"pale/{i}.png": i % 2 for i in range(12)}
    write_folds(folder, Folds(count=2, fold_of=fold_of))
    sources = [f"pale/{i}.png" for i in range(12)]
    pictures = {"pale": [picture("pale", f"pale/{i}.png") for i in range(12)]}
    write_generated(mixed.path / "generated", pictures, sources)
    scores, _ = score(mixed, classifier=folder)
    assert scores.classifier.seen == NOT_SEEN
    assert scores.pooled.agreement.value == 0.5
    write_generated(mixed.path / "generated", pictures, sources, others=["pale/0.png"])
    seen = score(mixed, classifier=folder)[0].classifier.seen
    assert seen == PARTLY_SEEN.format(count=6)  # 0 is of fold 0, and so are half of the sources


def test_same_seed_same_file(mixed):
    _, path = score(mixed)
    first = path.read_bytes()
    score(mixed)
    assert path.read_bytes() == first
    score(mixed, seed=1)
    assert path.read_bytes() != first


def test_pooled_distance_does_not_depend_on_the_mixture_of_classes(run):
    def pooled(pale, dark):
        numbers = {"pale": pale, "dark": dark}
        folder = run.path / f"mix {pale}"
        write_generated(
            folder, {c: [picture(c, f"new {i}") for i in range(n)] for c, n in numbers.items()}
        )
        return score(run, folder)[0].pooled

    even, lopsided = pooled(12, 8), pooled(12, 80)
    assert (even.num_compared, lopsided.num_compared) == (20, 20)
    assert abs(even.kid.value - lopsided.kid.value) < 4 * even.kid.standard_error


def with_head(run, head):
    """Write images of two tail classes and some of the head class; return their folder."""
    folder = run.path / f"head {len(head)}"
    tail = {c: [picture(c, f"new {i}") for i in range(8)] for c in ("pale", "dark")}
    write_generated(folder, tail | ({"head": head} if head else {}))
    return folder


def test_head_classes_are_marked_and_change_no_figure_of_the_tail(run):
    copies = [picture("head", f"head/{i}.png") for i in range(6)]
    alone, _ = score(run, with_head(run, []))
    every, path = score(run, with_head(run, copies))
    assert [(entry.name, entry.is_head) for entry in every.classes] == [
        ("pale", False), ("dark", False), ("head", True),
    ]  # fmt: skip
    head = every.classes[2]
    assert (head.num_generated, head.num_real, head.copies.share.value) == (6, 6, 1)
    folders = {alone.generated: "", every.generated: ""}

    def figures(scores):
        text = json.dumps(
            [scores.pooled.model_dump(), [e.model_dump() for e in scores.classes[:2]]]
        )
        for name in folders:
            text = text.replace(name, "folder")
        return text, scores.summary, scores.headline

    assert figures(every) == figures(alone)
    assert [row[0] for row in class_table(every)[1]] == ["pale", "dark", "head (head)"]
    assert "without 1 head class" in pooled_note(every)
    assert pooled_note(alone) == ""
    nearest = read_json(path.with_suffix(".nearest.json"))
    assert len(nearest) == 22
    assert nearest[f"{every.generated}/head/3.png"]["distance"] == pytest.approx(0, abs=1e-4)


def test_head_classes_alone_are_scored_as_a_tail(run):
    folder = run.path / "head only"
    write_generated(folder, {"head": [picture("head", f"new {i}") for i in range(6)]})
    scores, _ = score(run, folder)
    assert [(entry.name, entry.is_head) for entry in scores.classes] == [("head", False)]
    assert (scores.pooled.num_generated, scores.pooled.num_real) == (6, 6)


def test_subsampling_to_proportions():
    labels = torch.tensor([0] * 5 + [1] * 100 + [2] * 100)
    rows = subsample_to_proportions(labels, [10, 40, 0], seed=0)
    assert torch.bincount(labels[rows]).tolist() == [5, 20]
    assert torch.equal(rows, subsample_to_proportions(labels, [10, 40, 0], seed=0))
    assert len(subsample_to_proportions(labels, [0, 0, 0], seed=0)) == 0


def test_tables(mixed):
    scores, _ = score(mixed)
    columns, rows = class_table(scores)
    assert [row[0] for row in rows] == ["pale", "dark", "single"]
    assert columns == (
        "class", "real", "drawn", "agreement", "copies", "diversity", "KID",
    )  # fmt: skip
    assert rows[0][columns.index("copies")] == "100.0%"
    assert rows[2][columns.index("copies")] == "–"
    named = {row.name: row for row in scores.summary}
    assert named["KID"].interval.startswith("±")
    assert named["copies"].better == "lower"
    assert "FID" not in named
    trusted, fitted = by_trust(scores)
    assert (len(trusted), fitted) == (len(scores.summary), [])


def test_wrong_input(run, tmp_path):
    with pytest.raises(UserError, match="tgn generate"):
        score(run)
    write_generated(run.path / "generated", {})
    with pytest.raises(UserError, match="no images are kept"):
        score(run)
    write_generated(run.path / "generated", {"pale": [picture("pale", "new")]})
    other = tmp_path / "other.safetensors"
    save_classifier(other, build_backbone(BackboneSettings(size=16), ("cat", "dog")))
    with pytest.raises(UserError, match="does not know the classes pale; it knows: cat, dog"):
        score(run, classifier=other)
    net = (run.path / "kmdn" / "tail.safetensors").rename(tmp_path / "tail.safetensors")
    with pytest.raises(UserError, match="tgn distill"):
        score(run)
    scores, _ = score(run, extractor=f"{net}", size=32)  # another extractor needs no tail net
    assert scores.pooled.num_generated == 1
