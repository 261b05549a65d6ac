"""Fill-Up and DisCL end to end: learned words, text to image, several noise ratios."""

import pytest
import torch
from generation_support import assert_order_does_not_matter
from pretrained_support import generate_pretrained, tuning_settings
from tests_support import QUICK, Stops

from classify.comparison.compare import ComparisonPlan, compare
from classify.training.settings import TrainSettings
from tgn.data.manifest import read_manifest
from tgn.data.prompts import read_prompts
from tgn.generation.diffusion.pretrained.learned_words import (
    LearnedWords,
    add_words,
    prompts_with_words,
)
from tgn.generation.diffusion.pretrained.model import (
    WORDS,
    adapted_pipeline,
    load_pipeline,
    read_record,
)
from tgn.generation.diffusion.pretrained.sampler import open_pretrained_sampler
from tgn.generation.diffusion.pretrained.settings import (
    PretrainedSampleSettings,
    PretrainedTrainSettings,
)
from tgn.generation.diffusion.pretrained.train import train_pretrained
from tgn.runtime.checkpoints import load_weights
from tgn.runtime.errors import UserError
from tgn.runtime.progress import Silent


def words_settings(model, **changes) -> PretrainedTrainSettings:
    return tuning_settings(model, recipe="fill-up", vectors=2, **changes)


def fill_up(run, out, n, classes=None, **changes):
    return generate_pretrained(run, out, n, classes, recipe="fill-up", **changes)


def test_new_words_are_looked_up_in_their_own_table():
    embedding = torch.nn.Embedding(5, 3).requires_grad_(False)
    words = LearnedWords(embedding, 5, torch.arange(6.0).view(2, 3))
    read = words(torch.tensor([[1, 6, 5, 4]]))[0]
    assert torch.equal(read[[0, 3]], embedding.weight[[1, 4]])
    assert torch.equal(read[[1, 2]], torch.tensor([[3.0, 4, 5], [0, 1, 2]]))
    read[1].sum().backward()
    assert torch.equal(words.vectors.grad, torch.tensor([[0.0] * 3, [1.0] * 3]))


def test_words_begin_as_the_name_of_their_class(distilled, model):
    pipeline, split = load_pipeline(model), distilled.split()
    known = pipeline.text_encoder.get_input_embeddings()
    tokens = pipeline.tokenizer(split.names[1], add_special_tokens=False).input_ids
    words = add_words(pipeline, split, 2)
    mean = known.weight[tokens].mean(0)
    assert torch.allclose(words.vectors[2:4], mean.expand(2, -1))
    prompt = prompts_with_words(distilled.prompts_file, split, 2)[1][0]
    read = pipeline.tokenizer(prompt).input_ids
    assert [token for token in read if token >= words.first] == [words.first + 2, words.first + 3]


def test_descriptions_of_the_user_come_behind_the_words(fake_run):
    split = fake_run.split()
    folder = split.classes[0].folder
    fake_run.prompts_file.write_text(f"{folder}:\n  - red squares on sand\n")
    prompts = prompts_with_words(fake_run.prompts_file, split, 1)
    assert prompts[0][-1] == "<tgn-class-0-0>, red squares on sand"
    assert [len(own) for own in prompts] == [
        len(own) for own in read_prompts(fake_run.prompts_file, split)
    ]
    assert not any(split.names[1] in prompt for prompt in prompts[1])


def test_textual_inversion_learns_words_and_nothing_else(distilled, model):
    train_pretrained(distilled, words_settings(model), Silent())
    record, split = read_record(distilled), distilled.split()
    assert (record.vectors, record.rank, record.classes) == (2, 0, "tail")
    tuned, plain = adapted_pipeline(distilled, record, split), load_pipeline(model)
    started = add_words(plain, split, 2).vectors
    learned = tuned.text_encoder.get_input_embeddings().vectors
    tail = list(split.tail_classes)
    moved = (learned - started).abs().view(split.num_classes, -1).amax(1)
    head = [label for label in range(split.num_classes) if label not in tail]
    assert (moved[tail] > 10 * moved[head].max()).all()  # head words only shrink by weight decay
    for part in ("unet", "vae"):
        pairs = zip(
            getattr(tuned, part).parameters(), getattr(plain, part).parameters(), strict=True
        )
        assert all(torch.equal(a, b) for a, b in pairs)
    assert list((distilled.pretrained / "grids").glob("*.png"))


def test_textual_inversion_resumes_to_the_same_bytes(distilled, model, tmp_path):
    file, tuned = distilled.pretrained / WORDS, words_settings(model)
    train_pretrained(distilled, tuned, Silent())
    straight = file.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        train_pretrained(distilled, tuned, Stops(2), resume=False)
    train_pretrained(distilled, tuned, Silent())
    assert file.read_bytes() == straight
    assert set(load_weights(file)) == {"vectors"}
    file.write_bytes(straight[:-1] + bytes([straight[-1] ^ 1]))
    again = "is not what tgn train wrote; run .* --set tuning=textual-inversion --set vectors=2$"
    with pytest.raises(UserError, match=again):
        fill_up(distilled, tmp_path / "x", 1)


def test_fill_up_draws_from_words_without_a_source(distilled, model, tmp_path):
    train_pretrained(distilled, words_settings(model), Silent())
    rows = assert_order_does_not_matter(fill_up, distilled, tmp_path, 3)
    assert {(row.noise, row.source, row.source_file) for row in rows} == {(1.0, -1, "")}
    chosen = PretrainedSampleSettings(recipe="fill-up", block=2, sampling_steps=4, **QUICK)
    assert (chosen.noise, chosen.guidance) == (1.0, 1.0)
    sampler = open_pretrained_sampler(distilled, chosen)
    label = distilled.split().tail_classes[0]
    drawn, _ = sampler.sample_block(label, 0, chosen)
    sampler.images.batch = None  # no real image is read
    again, origins = sampler.sample_block(label, 0, chosen)
    assert torch.equal(drawn, again)
    assert [origin.source for origin in origins] == [-1, -1]


def test_words_also_guide_image_to_image(distilled, model, tmp_path):
    train_pretrained(distilled, words_settings(model), Silent())
    generate_pretrained(distilled, tmp_path / "near", 1, noise=0.5)
    assert all(row.source >= 0 and row.source_file for row in read_manifest(tmp_path / "near"))


def test_fill_up_needs_learned_words(distilled, model, tmp_path):
    train_pretrained(distilled, tuning_settings(model), Silent())
    with pytest.raises(UserError, match="learned words.*--set recipe=fill-up --no-resume"):
        fill_up(distilled, tmp_path / "x", 1)


def test_discl_draws_every_source_at_every_strength(distilled, model, tmp_path):
    train_pretrained(distilled, tuning_settings(model, recipe="discl"), Silent())

    def discl(run, out, n, classes=None):
        return generate_pretrained(run, out, n, classes, recipe="discl", block=3)

    rows = assert_order_does_not_matter(discl, distilled, tmp_path, 8)
    for folder in {row.folder for row in rows}:
        own = [row for row in rows if row.folder == folder]
        assert [row.noise for row in own] == [0.3, 0.5, 0.7, 0.9] * 2
        assert len({row.source for row in own[:4]}) == len({row.source for row in own[4:]}) == 1
        assert own[0].source != own[4].source
    # more images, and images that are there already are kept
    discl(distilled, tmp_path / "a", 10)
    assert list(read_manifest(tmp_path / "a"))[:8] == rows[:8]
    with pytest.raises(UserError, match="other weights, noise"):
        generate_pretrained(distilled, tmp_path / "a", 8, recipe="discl", noise="0.3,0.9")


def test_words_draw_without_a_source_only_at_the_largest_ratio(distilled, model, tmp_path):
    train_pretrained(distilled, words_settings(model), Silent())
    fill_up(distilled, tmp_path, 4, noise="1,0.5")
    rows = list(read_manifest(tmp_path))
    assert {(row.noise, row.source >= 0, row.source_file != "") for row in rows} == {
        (1.0, False, False),
        (0.5, True, True),
    }


def test_discl_images_are_those_of_the_curriculum(distilled, model):
    train_pretrained(distilled, tuning_settings(model, recipe="discl"), Silent())
    generate_pretrained(distilled, distilled.generated, 8, recipe="discl")
    plan = ComparisonPlan(("balanced-softmax+generated-curriculum",), 1, distilled.generated)
    settings = TrainSettings(**{**QUICK, "arch": "tiny", "size": 32, "steps": 10})
    table = compare(distilled, plan, settings, Silent())
    assert table["recipes"].keys() == {"balanced-softmax+generated-curriculum"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["recipe=discl", "noise=0.3,2"], "noise_ratios"),
        (
            ["recipe=discl", "noise_ratios=[0.3, 0.2]"],
            r"noise_ratios got \[0.3, 0.2\].*noise alone",
        ),
        (["recipe=dreambooth"], "recipe: got 'dreambooth'"),
    ],
)
def test_sample_settings_that_cannot_work_are_refused(given, message):
    with pytest.raises(UserError, match=message):
        PretrainedSampleSettings.resolve(None, given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["vectors=2"], "vectors got tuning=none; it needs tuning=textual-inversion"),
        (["tuning=textual-inversion", "rank=4"], "rank got tuning=textual-inversion.*lora"),
        (["classes=all"], "classes got tuning=none; it needs tuning=lora or textual-inversion"),
    ],
)
def test_tuning_settings_without_effect_are_refused(given, message):
    with pytest.raises(UserError, match=message):
        PretrainedTrainSettings.resolve(None, given)


def test_presets_are_shown_and_can_be_overridden():
    preset = PretrainedTrainSettings.resolve(None, ["recipe=fill-up"])
    assert 'tuning: "textual-inversion"' in preset.explained()
    assert (preset.steps, preset.lr) == (3000, 2e-3)
    lora = PretrainedTrainSettings.resolve(None, ["recipe=fill-up", "tuning=lora", "steps=7"])
    assert (lora.tuning, lora.steps, lora.lr) == ("lora", 7, 1e-4)
    sampling = PretrainedSampleSettings.resolve(None, ["recipe=discl", "guidance=3"])
    assert "noise_ratios: [0.3, 0.5, 0.7, 0.9]" in sampling.explained()
    assert (sampling.guidance, sampling.block) == (3, PretrainedSampleSettings().block)
    assert PretrainedSampleSettings.resolve(None, ["recipe=discl", "noise=0.6"]).ratios == (0.6,)
    again = sampling.with_changes({"seed": 1})
    assert (again.ratios, again.guidance) == (sampling.ratios, 3)


def test_folders_of_earlier_versions_go_on():
    plain = PretrainedSampleSettings()
    assert plain.is_recorded_as('{"sampling_steps":25,"guidance":5.0}')
    assert not plain.with_changes({"guidance": 3}).is_recorded_as(plain.how)
