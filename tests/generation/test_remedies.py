"""Remedies in messages: those of the backend that trains, and of the command that asks."""

import re

import pytest
from tests_support import CDTG, Command, Warned, in_process, write_generated

from tgn.backends import BackendName, backend
from tgn.cli import main as cli
from tgn.generation.cdtg import train as cdtg
from tgn.generation.diffusion import sampler as diffusion_sampler
from tgn.generation.diffusion import train as diffusion
from tgn.models import extractors, zero_shot
from tgn.models.backbones import build_backbone, save_classifier
from tgn.models.settings import BackboneSettings
from tgn.runtime.errors import UserError
from tgn.runtime.files import read_json_lines
from tgn.runtime.progress import Silent

SMALL = {**CDTG, "steps": 1, "grid_every": 1, "collapse_fraction": 1e6}
REMEDIES = {"cdtg": cdtg.COLLAPSE_REMEDY, "diffusion": diffusion.COLLAPSE_REMEDY}


@pytest.fixture
def command(monkeypatch, capsys) -> Command:
    return in_process(cli.main, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("name", "changes"),
    [("cdtg", {"clip": "none"}), ("diffusion", {"autoencoder_steps": 1})],
)
def test_mode_collapse_is_answered_with_settings_of_the_backend(distilled, name, changes):
    chosen = backend(name)
    settings = chosen.train_settings.model_validate({**SMALL, **changes})
    chosen.train(distilled, settings, Silent())
    (alarm, *_) = read_json_lines(distilled.path / name / "alarms.jsonl")
    assert alarm["text"].endswith(REMEDIES[name])


@pytest.mark.parametrize(
    ("name", "changes"),
    [("cdtg", {"clip": "none", "log_every": 1}), ("diffusion", {"autoencoder_steps": 1})],
)
def test_a_tail_net_that_sees_less_than_is_drawn_is_warned_of_once(distilled, name, changes):
    for size in (64, 32):
        listener, chosen = Warned(), backend(name)
        few = {**CDTG, "steps": 1, "size": size, **changes}
        settings = chosen.train_settings.model_validate(few)
        chosen.train(distilled, settings, listener, resume=False)
        said = [line for line in listener.said if "tail net sees" in line]
        assert len(said) == (size == 64)
        if said:
            assert "at 32 px" in said[0]
            assert "draws 64 px" in said[0]
            assert "tgn distill --set size=64 --no-resume" in said[0]


@pytest.mark.parametrize("name", REMEDIES)
def test_a_remedy_names_settings_that_the_backend_has(name: BackendName):
    known = {
        *backend(name).train_settings.model_fields,
        *backend(name).sample_settings.model_fields,
    }
    named = set(re.findall(r"[a-z]+(?:_[a-z]+)+", REMEDIES[name]))
    assert named
    assert named <= known


@pytest.fixture
def scored(fake_run):
    """A run with an untrained tail net and some generated images."""
    folders = [entry.folder for entry in fake_run.split().classes]
    net = build_backbone(BackboneSettings(size=16), folders)
    save_classifier(fake_run.path / "kmdn" / "tail.safetensors", net)
    write_generated(fake_run, 3, 2)
    return fake_run


@pytest.mark.parametrize("clip", ["tiny", "nonsense:tag"])
def test_score_does_not_advise_what_it_does_not_take(scored, command, clip):
    done = command("score", "--set", f"clip={clip}", "--device", "cpu")
    text = " ".join(done.stderr.split())
    assert done.code == 2
    assert "use --set clip=tiny" not in text
    assert "clip=none" not in text
    assert zero_shot.REMEDY in text


def test_each_caller_has_a_remedy_of_its_own(tmp_path):
    remedies = [
        cdtg.CLIP_REMEDY,
        diffusion_sampler.CLIP_REMEDY,
        zero_shot.REMEDY,
        extractors.CLIP_REMEDY,
    ]
    assert len(set(remedies)) == 4
    assert [("clip=tiny" in remedy) for remedy in remedies] == [True, False, False, False]
    with pytest.raises(UserError, match="use extractor=clip/ARCH"):
        extractors.load_extractor("clip/nonsense:tag", tmp_path)
