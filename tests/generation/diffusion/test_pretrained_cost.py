"""What memory a pretrained model takes is said before it starts, from its configuration alone."""

import re
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest
from pretrained_support import generate_pretrained, tuning_settings
from safetensors.torch import load_file
from tests_support import QUICK, Warned, in_process

from tgn.cli.main import main
from tgn.generation.diffusion.pretrained.cost import FLOAT32, GIB, sampling_cost, training_cost
from tgn.generation.diffusion.pretrained.settings import PretrainedSampleSettings
from tgn.generation.diffusion.pretrained.train import train_pretrained
from tgn.runtime import pace
from tgn.runtime.progress import Silent


def gib(text: str) -> list[float]:
    """Return total, weights and the rest, as a sentence says them."""
    found = re.search(r"about (\S+) GiB \((\S+) for the weights in float32, (\S+) for", text)
    return [float(number) for number in found.groups()]


def test_weights_are_counted_without_reading_them(model, tmp_path):
    files = list(Path(model).glob("*/*.safetensors"))
    numbers = sum(value.numel() for file in files for value in load_file(file).values())
    bare = copytree(model, tmp_path / "bare", ignore=ignore_patterns("*.safetensors"))
    total, weights, rest = gib(training_cost(tuning_settings(str(bare), recipe="fill-up")))
    assert weights == pytest.approx(FLOAT32 * numbers / GIB, rel=0.06)
    assert total == pytest.approx(weights + rest, rel=0.1)


def test_larger_batches_and_images_need_more(model):
    def rest(**changes):
        chosen = tuning_settings(model, tuning="textual-inversion", **changes)
        return gib(training_cost(chosen))[2]

    assert rest(batch_size=8) / rest(batch_size=2) == pytest.approx(4, rel=0.1)
    assert rest(size=64) > 3 * rest(size=32)
    assert rest(precision="bf16") * 2 <= rest() * 1.1
    small, large = (PretrainedSampleSettings(block=block, **QUICK) for block in (1, 4))
    assert gib(sampling_cost(large, model, 32))[2] > 3 * gib(sampling_cost(small, model, 32))[2]
    discl = PretrainedSampleSettings(recipe="discl", **QUICK)  # four at once, too
    assert sampling_cost(discl, model, 32) == sampling_cost(large, model, 32)


def test_nothing_is_tuned_nothing_is_said(model):
    assert training_cost(tuning_settings(model)) == ""


def test_a_model_that_is_not_here_says_how_to_fetch_it():
    cost = training_cost(tuning_settings("nobody/nothing", tuning="lora"))
    assert "hf download nobody/nothing" in cost


def test_memory_is_said_first_and_time_after_the_first_steps(distilled, model, monkeypatch):
    monkeypatch.setattr(pace, "WORTH_SAYING_S", 0.0)
    told = Warned()
    train_pretrained(distilled, tuning_settings(model, recipe="fill-up", steps=8), told)
    assert told.said[0].startswith("memory: about ")
    assert re.match("the 4 steps left take about .*, by the pace of the first 3$", told.said[1])
    assert len(told.said) == 2


def test_generation_says_its_memory_and_after_a_block_its_time(
    distilled, model, monkeypatch, tmp_path
):
    monkeypatch.setattr(pace, "WORTH_SAYING_S", 0.0)
    train_pretrained(distilled, tuning_settings(model), Silent())
    told = Warned()
    monkeypatch.setattr("generation_support.Silent", lambda: told)
    generate_pretrained(distilled, tmp_path / "out", 4, (2,))
    assert "licence" in told.said[0]
    assert told.said[1].startswith("memory: about ")
    assert re.match("the 2 images left take about .*first 2$", told.said[2])


def test_a_dry_run_shows_preset_memory_and_licence(distilled, model, monkeypatch, capsys):
    tgn = in_process(main, monkeypatch, capsys)
    command = ("train", "--backend", "stable-diffusion", "--model", model, "--run", "fake")
    small = ("--device", "cpu", "--set", "batch_size=2")
    done = tgn(*command, "--set", "recipe=fill-up", *small, "--dry-run")
    assert done.code == 0
    assert "memory: about" in done.stdout
    assert 'tuning: "textual-inversion"' in done.stdout
    assert not distilled.pretrained.exists()
    done = tgn(*command, "--set", "recipe=fill-up", *small, "--set", "steps=1")
    assert "next: tgn generate --class all --set recipe=fill-up" in done.stdout
    words = ("generate", "--run", "fake", "--class", "all", "--set", "recipe=fill-up")
    done = tgn(*words, "--device", "cpu", "--dry-run")
    assert "guidance: 1.0" in done.stdout
    assert "memory: about" in done.stdout
    assert "licence" in done.stdout
