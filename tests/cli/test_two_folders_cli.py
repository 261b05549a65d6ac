"""``tgn score`` and ``tgn filter`` on two plain folders, without a run."""

import pytest
import torch
from score_support import FOLDERS, picture, save
from tests_support import Command, in_process

from tgn.cli import main as cli
from tgn.models.backbones import build_backbone, save_classifier
from tgn.models.settings import BackboneSettings


@pytest.fixture
def tgn(monkeypatch, capsys) -> Command:
    return in_process(cli.main, monkeypatch, capsys)


@pytest.fixture
def extractor(in_tmp) -> tuple[str, str]:
    """Two folders of images, and the words that name a network."""
    for number, name in enumerate(("generated", "real")):
        for folder in FOLDERS:
            for i in range(4):
                save(in_tmp / name / folder / f"{i}.png", picture(folder, 10 * number + i))
    torch.manual_seed(0)
    file = in_tmp / "net.safetensors"
    save_classifier(file, build_backbone(BackboneSettings(size=16), FOLDERS))
    return "--set", f"extractor={file}"


def test_they_are_scored_and_filtered(in_tmp, tgn, extractor):
    plan = tgn("score", "generated", "--against", "real", "--dry-run")
    assert "generated against real" in plan.stdout
    scored = tgn("score", "generated", "--against", "real", *extractor)
    assert scored.code == 0, scored.stderr
    assert all(folder in scored.stdout for folder in FOLDERS)
    off = ("--set", "copy_percentile=0", "--set", "quality_percentile=0")
    filtered = tgn("filter", "generated", "--against", "real", *extractor, *off)
    assert filtered.code == 0, filtered.stderr
    assert (in_tmp / "generated" / "filter.png").is_file()
    assert "are used" in tgn("filter", "generated", "--off").stdout


def test_they_are_filtered_by_use(in_tmp, tgn, extractor):
    words = ("filter", "generated", "--against", "real", *extractor)
    networks = ("--set", f"networks=tiny:{in_tmp / 'net.safetensors'}", "--set", "size=16")
    off = ("--set", "copy_percentile=0", "--set", "duplicate_percentile=0")
    filtered = tgn(*words, "--by", "use", *networks, *off)
    assert filtered.code == 0, filtered.stderr
    assert "advice" in filtered.stdout
    assert "of unknown sources" in " ".join(filtered.stdout.split())
    wrong = tgn(*words, "--set", "folds=3")  # without --by use nothing is measured in folds
    assert wrong.code == 2
    assert "folds" in wrong.stderr


def test_the_result_goes_beside_the_folder_or_to_out(in_tmp, tgn, extractor):
    beside = tgn("score", "generated", "--against", "real", *extractor)
    assert "generated.scores.json" in beside.stdout.replace("\n", "")
    assert (in_tmp / "generated.scores.json").is_file()
    assert tgn("score", "generated", "--against", "real", "--out", "a.json", *extractor).code == 0
    assert (in_tmp / "a.json").read_bytes() == (in_tmp / "generated.scores.json").read_bytes()


def test_flat_folders_are_one_set(in_tmp, tgn, extractor):
    for name in ("generated", "real"):
        for number, file in enumerate(sorted((in_tmp / name).rglob("*.png"))):
            file.rename(in_tmp / name / f"{number}.png")
    scored = tgn("score", "generated", "--against", "real", *extractor)
    assert "all classes together" in scored.stdout
    assert "pale" not in scored.stdout
    off = ("--set", "copy_percentile=0", "--set", "quality_percentile=0")
    filtered = tgn("filter", "generated", "--against", "real", *extractor, *off)
    assert "not applied: classifier: a folder has no class folders" in filtered.stdout


def test_the_tail_net_needs_a_run(in_tmp, tgn, extractor):
    for verb in ("score", "filter"):
        wrong = tgn(verb, "generated", "--against", "real", "--set", "extractor=tail")
        assert wrong.code == 2
        assert "there is no run; add --run NAME" in wrong.stderr
        assert len(wrong.stderr.strip().splitlines()) == 1
    unmatched = tgn("score", "generated", "--against", "generated/pale", *extractor)
    assert unmatched.code == 0
    (in_tmp / "other" / "cat").mkdir(parents=True)
    (in_tmp / "real" / "pale" / "0.png").rename(in_tmp / "other" / "cat" / "0.png")
    unmatched = tgn("score", "generated", "--against", "other", *extractor)
    assert (unmatched.code, "no class folder is in both" in unmatched.stderr) == (2, True)


def test_both_must_be_given(in_tmp, tgn):
    for verb in ("score", "filter"):
        wrong = tgn(verb, "--against", "real")
        assert (wrong.code, "FOLDER --against REAL" in wrong.stderr) == (2, True)
