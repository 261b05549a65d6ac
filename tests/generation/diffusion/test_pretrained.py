"""A pretrained pipeline, here a tiny one with random weights, from tuning to sampling."""

from shutil import copytree

import pytest
import torch
from generation_support import assert_order_does_not_matter, distill_anew
from pretrained_support import generate_pretrained as generated
from pretrained_support import tuning_settings as settings
from safetensors.torch import load_file, save_file
from tests_support import QUICK, Stops

from tgn.backends import trained_backend
from tgn.data.images import read_image
from tgn.data.manifest import read_manifest
from tgn.data.prompts import read_prompts
from tgn.generation.diffusion.pretrained.model import LORA, adapted_pipeline, read_record
from tgn.generation.diffusion.pretrained.sampler import open_pretrained_sampler
from tgn.generation.diffusion.pretrained.settings import (
    PretrainedSampleSettings,
    PretrainedTrainSettings,
)
from tgn.generation.diffusion.pretrained.train import train_pretrained
from tgn.runtime.errors import NotFoundError, UserError
from tgn.runtime.progress import Silent


def test_a_pretrained_model_generates_from_real_images(distilled, model, tmp_path):
    train_pretrained(distilled, settings(model), Silent())
    assert trained_backend(distilled).title == "a pretrained model"
    record = read_record(distilled)
    assert (record.size, record.rank) == (32, 0)  # the model's own size
    assert list((distilled.pretrained / "grids").glob("*.png"))
    for row in assert_order_does_not_matter(generated, distilled, tmp_path, 3):
        assert read_image(tmp_path / "b" / row.file)[0].size == (32, 32)


def test_strength_is_the_distance_of_an_image_from_its_source(distilled, model):
    train_pretrained(distilled, settings(model), Silent())
    label, away = distilled.split().tail_classes[0], []
    for noise in (0.0, 0.5, 1.0):
        chosen = PretrainedSampleSettings(
            noise=noise, block=4, sampling_steps=8, guidance=1.0, **QUICK
        )
        sampler = open_pretrained_sampler(distilled, chosen)
        images, origins = sampler.sample_block(label, 0, chosen)
        again, _ = sampler.sample_block(label, 0, chosen)
        assert torch.equal(images, again)
        assert all(sampler.bank.labels[origin.source] == label for origin in origins)
        away.append(images.float())
    near, far = ((x - away[0]).abs().mean() for x in away[1:])
    assert 0 < near < far
    assert "licence" in sampler.notes(chosen)[0]


def test_precision_is_that_of_the_settings(distilled, model):
    train_pretrained(distilled, settings(model), Silent())
    label, images = distilled.split().tail_classes[0], {}
    for precision in ("float32", "bf16"):
        chosen = PretrainedSampleSettings(
            block=2, sampling_steps=4, device="cpu", precision=precision
        )
        sampler = open_pretrained_sampler(distilled, chosen)
        images[precision] = sampler.sample_block(label, 0, chosen)[0].float()
    away = (images["float32"] - images["bf16"]).abs()
    assert 0 < away.mean() < 5


def test_another_feature_bank_says_which_command_to_run(distilled, model):
    train_pretrained(distilled, settings(model), Silent())
    distill_anew(distilled)
    again = f"run tgn train --backend stable-diffusion --model {model} --set size=32$"
    with pytest.raises(UserError, match=again):
        open_pretrained_sampler(distilled, PretrainedSampleSettings(**QUICK))


def test_settings_of_sample_grids_are_refused():
    with pytest.raises(UserError, match="unknown setting 'grid_every'"):
        PretrainedTrainSettings.resolve(None, ["grid_every=5"])


def test_lora_learns_and_resumes(distilled, model, tmp_path):
    file, tuned = distilled.pretrained / LORA, settings(model, tuning="lora")
    train_pretrained(distilled, tuned, Silent())
    straight = file.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        train_pretrained(distilled, tuned, Stops(2), resume=False)
    train_pretrained(distilled, tuned, Silent())
    assert file.read_bytes() == straight
    lora = adapted_pipeline(distilled, read_record(distilled), distilled.split()).unet
    parts = {name: p for name, p in lora.named_parameters() if "lora_B" in name}
    assert any(p.abs().sum() > 0 for p in parts.values())  # they begin at zero
    generated(distilled, tmp_path / "tuned", 1)
    file.write_bytes(straight[:-1] + bytes([straight[-1] ^ 1]))
    again = "run tgn train .* --model .* --set size=32 --set tuning=lora --set rank=2$"
    with pytest.raises(UserError, match=again):
        generated(distilled, tmp_path / "x", 1)


def test_head_classes_need_lora_of_all_classes_or_none(distilled, model, tmp_path):
    every = tuple(range(4))
    train_pretrained(distilled, settings(model), Silent())
    generated(distilled, tmp_path / "plain", 1, every)
    row = next(read_manifest(tmp_path / "plain"))
    assert (row.folder, row.source_file[:13]) == ("square", "train/square/")
    train_pretrained(distilled, settings(model, tuning="lora", steps=1), Silent())
    with pytest.raises(UserError, match="knows tail classes only.*--set classes=all"):
        generated(distilled, tmp_path / "tail", 1, every)
    of_all = settings(model, tuning="lora", steps=1, classes="all")
    train_pretrained(distilled, of_all, Silent(), resume=False)
    generated(distilled, tmp_path / "all", 1, every)
    assert len(list(read_manifest(tmp_path / "all"))) == 4


def test_a_lora_of_another_model_is_tuned_anew(distilled, model, tmp_path):
    copied = copytree(model, tmp_path / "model")
    tuned = settings(str(copied), tuning="lora", steps=1)
    train_pretrained(distilled, tuned, Silent())
    weights = next(copied.glob("unet/*.safetensors"))
    save_file({k: v + 1e-3 for k, v in load_file(weights).items()}, weights)
    with pytest.raises(UserError, match="has changed since tgn train; run .* --no-resume"):
        open_pretrained_sampler(distilled, PretrainedSampleSettings(**QUICK))
    with pytest.raises(UserError, match="unet_sha256 differ.*--no-resume"):
        train_pretrained(distilled, tuned, Silent())
    named = settings(str(copied), tuning="lora", steps=1, size=32)
    train_pretrained(distilled, named, Silent(), resume=False)
    train_pretrained(distilled, tuned, Silent())  # the model's own size, named or not
    open_pretrained_sampler(distilled, PretrainedSampleSettings(**QUICK))


def test_missing_models_are_errors(distilled, tmp_path):
    with pytest.raises(UserError, match="--model DIR"):
        train_pretrained(distilled, settings(""), Silent())
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="cannot be loaded"):
        train_pretrained(distilled, settings(str(tmp_path / "empty")), Silent())
    with pytest.raises(NotFoundError, match="stable-diffusion --model"):
        open_pretrained_sampler(distilled, PretrainedSampleSettings(**QUICK))


def test_a_name_that_is_not_cached_says_what_to_do_without_a_network(distilled, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="hf download nobody/nothing"):
        train_pretrained(distilled, settings("nobody/nothing"), Silent())


def test_prompts_are_enriched(fake_run):
    split = fake_run.split()
    plain = read_prompts(fake_run.prompts_file, split)
    folder = split.classes[0].folder
    file = fake_run.path / "prompts.yaml"
    file.write_text(f"{folder}:\n  - red squares on sand\n")
    assert read_prompts(fake_run.prompts_file, split)[0] == [*plain[0], "red squares on sand"]
    assert read_prompts(fake_run.prompts_file, split)[1:] == plain[1:]
    for wrong, message in (
        ("nobody: [x]", "nobody"),
        (f"{folder}: x", "list of sentences"),
        ("[1, 2]", "class folders"),
        ("{", "not YAML"),
    ):
        file.write_text(wrong)
        with pytest.raises(UserError, match=message):
            read_prompts(fake_run.prompts_file, split)
