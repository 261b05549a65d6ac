"""Selection by use: the rule, the verdict, and a filter that may keep nothing."""

import numpy as np
import pytest
import torch
from score_support import FOLDERS, picture, save, write_generated

from tgn.data.manifest import FILTERED, active_rows
from tgn.data.split import ClassEntry, Split, write_split
from tgn.metrics.shrinkage import Posterior
from tgn.runtime.errors import UserError
from tgn.runtime.files import read_json
from tgn.runtime.progress import Silent
from tgn.scoring.filter import filter_folders, filter_run, remove_filter
from tgn.scoring.settings import FilterSettings, UseFilterSettings
from tgn.scoring.use import ENOUGH, NO_GAIN, NO_GAIN_AT_ALL
from tgn.scoring.use_verdict import Expected, UseVerdict, classes_to_use

COPY = "copy of a training image"
NAMES = ("head", "pale", "dark")
TRAIN = {"head": 20, "pale": 8, "dark": 8}
OFF = {
    "copy_percentile": 0,
    "duplicate_percentile": 0,
    "prototype_percentile": 0,
    "min_probability": 0,
}


@pytest.fixture
def planted(run):
    """Classes of three grey levels, told apart with difficulty in noise."""
    files = [
        (f"train/{name}/{i}.png", k) for k, name in enumerate(NAMES) for i in range(TRAIN[name])
    ]
    for file, k in files:
        save(run.path.parent / "data" / file, noisy(NAMES[k], file))
    entries = [ClassEntry(folder=f, name=f, train=n, val=0, test=0) for f, n in TRAIN.items()]
    split = Split(root="../data", classes=entries, num_head=1, train=files, val=(), test=())
    write_split(run.path / "split.json", split)
    return run


def noisy(name, number):
    """Return a picture whose level differs from picture to picture more than the classes do."""
    pixels = picture(name, number).astype(float)
    shift = 70 * np.sin(float(pixels.sum()))
    return np.clip(pixels + shift, 0, 255).astype(np.uint8)


def filtered(run, folder=None, **settings):
    chosen = UseFilterSettings(
        device="cpu",
        extractor="tail",
        size=16,
        symmetries=2,
        **{"networks": f"tiny:{run.path / 'kmdn' / 'tail.safetensors'}", **OFF, **settings},
    )
    return filter_run(run, chosen, folder, Silent())[0]


def expected(means, pooled, deviation):
    values = torch.tensor(means)
    return Expected(Posterior(values, torch.full_like(values, 0.01)), pooled, deviation)


def test_the_rule_uses_classes_that_gain_if_all_together_are_harmless():
    assert classes_to_use(expected([0.02, -0.01, 0.0], 0.01, 0.001)).tolist() == [
        True,
        False,
        False,
    ]
    assert not classes_to_use(expected([0.02, 0.01], 0.01, 0.01)).any()  # perhaps below 0
    assert not classes_to_use(expected([0.02, 0.01], -0.01, 0.001)).any()
    assert not classes_to_use(expected([0.0, 0.0], 0.0, 0.0)).any()
    assert not classes_to_use(expected([0.02], 0.0, float("inf"))).any()


def test_the_verdict_in_words_and_numbers():
    gains = {name: expected([0.02, -0.013], 0.01, 0.002) for name in ("margin", "error")}
    gains["right"] = expected([0.04, 0.0], 0.02, 0.03)
    verdict = UseVerdict(["pale", "dark"], [5, 7], [True, False], gains, "error", 0)
    evidence = (
        "with those of all classes, for left-out real images of a class, the squared error of "
        "their scores falls by +1.0 (95%: +0.6 to +1.4) hundredths, and their accuracy changes by "
        "+2.0 (95%: -3.9 to +7.9) points"
    )
    assert verdict.sentence == f"use the images of 1 of 2 classes; {evidence}"
    assert verdict.answer == f"Yes, use these images, those of 1 of 2 classes: {evidence}."
    first, second = verdict.rows()
    assert (first["gain"], first["low"], first["high"]) == pytest.approx((2, 2 - 1.96, 2 + 1.96))
    assert first["accuracy_gain"] == pytest.approx(4)
    assert (first["advice"], second["advice"]) == ("use", "do not generate for this class")
    none = UseVerdict(["pale", "dark"], [5, 7], [False, False], gains, "right", 3)
    assert none.sentence.startswith("do not generate: no gain is to be relied on; with those of")
    assert none.answer.startswith("No, these images would not help: with those of all classes")
    assert none.evidence.count("accuracy changes by") == 1
    assert "squared error" not in none.evidence
    assert "3 images are of unknown sources" in none.sentence


def test_images_of_another_class_are_dropped_by_their_use(planted):
    """Pictures of 'dark' in the folder of 'pale' harm both; no criterion of single images is on."""
    pictures = {"pale": [noisy("dark", f"new {i}") for i in range(30)]}
    write_generated(planted.path / "generated", pictures)
    result = filtered(planted)
    assert result.kept == []
    assert result.counts() == {"pale": {NO_GAIN_AT_ALL: 30}}
    assert list(active_rows(planted.path / "generated", planted.split())) == []
    report = read_json(planted.path / "generated" / "filter.json")
    assert report["kept"] == 0
    assert report["use"]["classes"][0]["gain"] < 0
    assert report["use"]["classes"][0]["advice"] == "do not generate for this class"
    assert report["use"]["images_of_unknown_source"] == 30
    assert "do not generate" in report["use"]["sentence"]
    assert remove_filter(planted.path / "generated")
    assert len(list(active_rows(planted.path / "generated", planted.split()))) == 30


def test_of_two_classes_the_one_that_gains_is_kept(planted, monkeypatch):
    pictures = {
        "pale": [noisy("pale", f"new {i}") for i in range(30)],
        "dark": [noisy("dark", f"new {i}") for i in range(30)],
    }
    monkeypatch.setattr("tgn.scoring.use.classes_to_use", lambda _: torch.tensor([True, False]))
    write_generated(planted.path / "generated", pictures)
    result = filtered(planted)
    assert result.counts() == {"pale": {"kept": 30}, "dark": {NO_GAIN: 30}}
    assert (planted.path / "generated" / FILTERED).read_text().count("\n") == 30


def test_of_classes_with_many_real_images_none_is_used_as_by_a_probe(planted):
    pictures = {name: [noisy(name, f"new {i}") for i in range(4)] for name in ("head", "pale")}
    write_generated(planted.path / "generated", pictures)
    assert filtered(planted).use.folders == ["pale"]
    assert filtered(planted).counts()["head"] == {ENOUGH: 4}
    assert filtered(planted, generated_below=21).use.folders == ["head", "pale"]
    none = filtered(planted, generated_below=8)
    assert none.kept == []
    assert none.use.sentence.endswith("no image is left of classes with few real ones")
    assert none.use.answer.startswith("No, these images would not be used: no image is left")
    assert none.use.report()["helps"] is False


def test_fits_do_not_see_the_real_images_that_copies_were_made_of(planted):
    """Copies of known sources bring nothing at these; of unknown ones they seem to."""
    sources = {name: [f"train/{name}/{i}.png" for i in range(8)] for name in ("pale", "dark")}
    pictures = {name: [noisy(name, file) for file in own] for name, own in sources.items()}
    write_generated(planted.path / "generated", pictures, sources)
    known = filtered(planted).use
    write_generated(planted.path / "generated", pictures)
    unknown = filtered(planted).use
    assert (known.unknown, unknown.unknown) == (0, 16)
    gains = [float(each.gains["margin"].pooled) for each in (known, unknown)]
    assert gains[0] < gains[1]


def test_only_images_that_the_other_tests_leave_are_measured(planted):
    pictures = {"dark": [noisy("dark", "new")] * 9, "pale": [noisy("pale", "new")]}
    write_generated(planted.path / "generated", pictures)
    result = filtered(planted, duplicate_percentile=1, near=1)
    assert result.use.images == [1, 1]
    assert result.counts()["dark"]["near-duplicate"] == 8
    copies = {"dark": [noisy("dark", f"train/dark/{i}.png") for i in range(8)]}
    write_generated(planted.path / "generated", copies)
    nothing = filtered(planted, copy_percentile=1, near=1)
    assert nothing.kept == []
    assert nothing.use.sentence.startswith("do not generate: no image is left")
    assert nothing.counts() == {"dark": {"copy of a training image": 8}}


def test_by_use_only_images_that_are_the_same_again_are_copies(planted):
    """What is as near to a real image as real ones are to each other may well be of use."""
    image = noisy("dark", "train/dark/0.png").astype(int)
    other = noisy("dark", "train/dark/1.png").astype(int)
    between = [(image + share * (other - image)).astype(np.uint8) for share in (0.0, 0.01, 0.3)]
    write_generated(planted.path / "generated", {"dark": between})
    copies = {
        near: filtered(planted, copy_percentile=100, near=near).counts()["dark"][COPY]
        for near in (1.0, 0.5, 1e-6)
    }
    assert copies[1e-6] == 1  # the image itself
    assert 1 < copies[0.5] <= copies[1.0]
    assert UseFilterSettings().near < FilterSettings().near


def test_too_typical_images_and_strangers_are_dropped(planted):
    files = [f"train/dark/{i}.png" for i in range(8)]
    mean = np.mean([noisy("dark", file) for file in files], axis=0).astype(np.uint8)
    stripes = noisy("dark", "new")
    stripes[::2], stripes[1::2] = 255, 0
    write_generated(planted.path / "generated", {"dark": [mean, stripes]})
    counts = filtered(planted, prototype_percentile=5).counts()["dark"]
    assert counts["far from its class"] == 1


def test_mistakes(planted, tmp_path):
    for place in ("made", "real"):
        save(tmp_path / place / "pale" / "0.png", picture("pale", place))
        save(tmp_path / place / "pale" / "1.png", picture("pale", place + " 1"))
    file = planted.path / "kmdn" / "tail.safetensors"
    settings = UseFilterSettings(
        device="cpu", extractor=str(file), networks=f"tiny:{file}", size=16, **OFF
    )
    with pytest.raises(UserError, match="images of one class, expected class folders of two"):
        filter_folders((tmp_path / "made", tmp_path / "real"), settings, Silent())
    write_generated(planted.path / "generated", {"pale": [picture("pale", "new")]})
    assert FOLDERS[:3] == NAMES
    with pytest.raises(UserError, match="nowhere"):
        filtered(planted, networks="tiny:nowhere.safetensors")
