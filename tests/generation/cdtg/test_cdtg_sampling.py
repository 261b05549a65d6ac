"""Sampling with CDTG: exact numbers, any order, interruptions, shards, compiled networks."""

import pytest
import torch
from generation_support import assert_order_does_not_matter, generate_tail
from tests_support import QUICK

from tgn.data.images import to_u8
from tgn.data.manifest import active_rows, image_set, read_manifest
from tgn.generation.cdtg.architecture import Architecture, recombining_architecture
from tgn.generation.cdtg.checkpoint import KEPT_FILES, load_conditional_generator
from tgn.generation.cdtg.conditional_generator import Source
from tgn.generation.cdtg.recombination import KEPT
from tgn.generation.cdtg.sampler import CdtgSampler, open_cdtg_sampler
from tgn.generation.cdtg.settings import CdtgSampleSettings
from tgn.generation.sampling_plan import plan_block
from tgn.runtime.checkpoints import load_weights, read_metadata, save_weights
from tgn.runtime.errors import UserError


def generated(run, out, n, classes=None, resume=True, **changes):
    chosen = CdtgSampleSettings.model_validate({**QUICK, "n": n, "block": 4, **changes})
    return generate_tail(run, out, chosen, classes, resume)


def test_generation_is_exact_in_number_and_bytes_whatever_the_order(trained, tmp_path):
    rows = assert_order_does_not_matter(generated, trained, tmp_path, 6)
    assert len({row.seed for row in rows}) == len(rows)


def test_an_interrupted_generation_is_continued_without_touching_what_is_there(
    trained, tmp_path, monkeypatch
):
    calls, real = [], CdtgSampler.sample_block

    def stops(*args):
        calls.append(args[2])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(CdtgSampler, "sample_block", stops)
    label = (trained.split().num_classes - 1,)
    with pytest.raises(KeyboardInterrupt):
        generated(trained, tmp_path / "a", 10, label)
    first = sorted((tmp_path / "a").rglob("*.png"))
    times = [path.stat().st_mtime_ns for path in first]
    assert len(first) == 4
    generated(trained, tmp_path / "a", 10, label)
    assert [path.stat().st_mtime_ns for path in first] == times
    assert len(list(read_manifest(tmp_path / "a"))) == 10
    generated(trained, tmp_path / "b", 10, label)
    assert list(read_manifest(tmp_path / "a")) == list(read_manifest(tmp_path / "b"))


def test_images_of_other_settings_are_not_mixed_in(trained, tmp_path):
    generated(trained, tmp_path / "a", 2)
    with pytest.raises(UserError, match="--no-resume"):
        generated(trained, tmp_path / "a", 2, noise=0.9)
    generated(trained, tmp_path / "a", 2, noise=0.9, resume=False)
    assert {row.noise for row in read_manifest(tmp_path / "a")} == {0.9}


def test_without_n_classes_are_filled_up_to_the_largest(trained, tmp_path):
    counts = generated(trained, tmp_path / "a", None)
    split = trained.split()
    assert counts == {
        split.classes[k].folder: split.counts[0] - split.counts[k] for k in split.tail_classes
    }


def test_at_r_0_the_source_is_drawn_and_at_r_1_another_image(trained):
    sampler = open_cdtg_sampler(trained, CdtgSampleSettings(**QUICK))
    label = trained.split().num_classes - 1
    chosen = [
        CdtgSampleSettings(noise=noise, seed=seed, block=4, **QUICK)
        for noise in (0.0, 1.0)
        for seed in (0, 0, 1)
    ]
    images = [sampler.sample_block(label, 0, each)[0] for each in chosen]
    assert torch.equal(images[0], images[1])
    assert torch.equal(images[3], images[4])
    assert not torch.equal(images[3], images[5])
    plan = plan_block(sampler.bank, sampler.split, label, 0, chosen[0])
    with torch.inference_mode():
        real = sampler.images.of_plan(plan, sampler.device)
        given = to_u8(real).float()
    near, far = ((images[k] - given).abs().mean() for k in (0, 3))
    assert near < 0.5 * far


def test_a_saved_architecture_is_enough_to_generate(trained):
    facts = read_metadata(trained.cdtg_generator)
    assert Architecture.model_validate_json(facts["architecture"]) == recombining_architecture(
        32, 3, 16
    )


def test_a_generator_is_loaded_from_its_file_alone(trained, tmp_path):
    split, path = trained.split(), trained.cdtg_generator
    network, facts = load_conditional_generator(path)
    assert facts.classes == tuple(entry.folder for entry in split.classes)
    assert facts.fusion_is_trained
    assert (network.architecture.size, network.num_classes) == (32, split.num_classes)
    assert not any(weight.requires_grad for weight in network.parameters())
    counts = [min(count, KEPT) for count in split.counts]
    assert network.recombination.counts.tolist() == counts
    assert network.recombination.kept[: counts[0]].any()
    assert not trained.latents.exists()
    # A file may hold no names of classes.
    header = read_metadata(path)
    del header["classes"]
    save_weights(tmp_path / "nameless.safetensors", load_weights(path), header)
    nameless, facts = load_conditional_generator(tmp_path / "nameless.safetensors")
    assert facts.classes == ()
    images, noise = torch.rand(2, 3, 32, 32) * 2 - 1, torch.randn(2, network.noise_dim)
    features = torch.randn(2, network.feature_channels, 4, 4)
    drawn = [
        net(Source(features, images), torch.tensor([0, 3]), noise, torch.full((2,), 0.7)).images
        for net in (network, nameless)
    ]
    assert torch.equal(*drawn)


@pytest.mark.parametrize("found", ["tgn-cdtg-1", "tgn-diffusion-2"])
def test_a_file_of_another_format_is_refused_with_the_remedy(trained, tmp_path, found):
    weights, header = load_weights(trained.cdtg_generator), read_metadata(trained.cdtg_generator)
    save_weights(tmp_path / "other.safetensors", weights, {**header, "format": found})
    message = f"format '{found}', expected 'tgn-cdtg-2'.*tgn train --no-resume .or tgn import"
    with pytest.raises(UserError, match=message):
        load_conditional_generator(tmp_path / "other.safetensors")


def test_shards_hold_the_same_images_as_files(trained, tmp_path):
    split = trained.split()
    generated(trained, tmp_path / "files", 6)
    generated(trained, tmp_path / "shards", 6, format="webdataset")
    sets = [
        image_set(tmp_path / name, active_rows(tmp_path / name, split), split, 32)
        for name in ("files", "shards")
    ]
    everything = torch.arange(len(sets[0]))
    assert torch.equal(sets[0].batch(everything), sets[1].batch(everything))
    rows = [list(read_manifest(tmp_path / name)) for name in ("files", "shards")]
    assert [row.sha256 for row in rows[0]] == [row.sha256 for row in rows[1]]
    assert len(list((tmp_path / "shards").rglob("*.tar"))) == len(split.tail_classes)


def test_a_shard_grows_is_kept_and_is_forgotten(trained, tmp_path):
    label = (trained.split().num_classes - 1,)
    generated(trained, tmp_path / "a", 3, label, format="webdataset")
    (shard,) = (tmp_path / "a").glob("*.tar")
    generated(trained, tmp_path / "a", 7, label, format="webdataset")
    generated(trained, tmp_path / "b", 7, label, format="webdataset")
    assert shard.read_bytes() == (tmp_path / "b" / shard.name).read_bytes()
    assert list(read_manifest(tmp_path / "a")) == list(read_manifest(tmp_path / "b"))
    written = shard.stat().st_mtime_ns
    generated(trained, tmp_path / "a", 7, label, format="webdataset")
    assert shard.stat().st_mtime_ns == written
    with pytest.raises(UserError, match="format"):
        generated(trained, tmp_path / "a", 7, label)
    generated(trained, tmp_path / "a", 2, label, resume=False)
    assert not shard.exists()
    assert len(list(read_manifest(tmp_path / "a"))) == 2


@pytest.mark.slow
def test_compiled_images_are_those_of_the_plain_network(trained):
    label, chosen = trained.split().num_classes - 1, {"block": 4, **QUICK}
    images = [
        open_cdtg_sampler(trained, settings).sample_block(label, 0, settings)[0].int()
        for settings in (CdtgSampleSettings(compile=flag, **chosen) for flag in (False, True))
    ]
    assert (images[0] - images[1]).abs().max() <= 1


def test_without_a_compiler_images_are_generated_without_one(trained, tmp_path, monkeypatch):
    def no_compiler(*_, **__):
        raise RuntimeError("No working C++ compiler found")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: no_compiler)
    sampler = open_cdtg_sampler(trained, CdtgSampleSettings(compile=True, block=4, **QUICK))
    assert "C++ compiler" in sampler.not_compiled
    generated(trained, tmp_path / "a", 2, compile=True)
    generated(trained, tmp_path / "b", 2)
    assert list(read_manifest(tmp_path / "a")) == list(read_manifest(tmp_path / "b"))


def test_the_manifest_names_every_real_image_that_an_image_was_made_of(trained, tmp_path):
    generated(trained, tmp_path / "near", 12, noise=0.4)
    generated(trained, tmp_path / "far", 12, noise=1.0)
    named = {file: label for file, label in trained.split().train}
    for folder, most in (("near", 1), ("far", 2)):
        rows = list(read_manifest(tmp_path / folder))
        assert max(len(row.other_files) for row in rows) == most
        for row in rows:
            files = (row.source_file, *row.other_files)
            assert len(set(files)) == len(files)
            assert {named[file] for file in files} == {row.class_index}


def test_generators_of_older_versions_name_no_images_and_say_so(trained, tmp_path):
    path = trained.cdtg_generator
    header = {key: value for key, value in read_metadata(path).items() if key != KEPT_FILES}
    save_weights(path, load_weights(path), header)
    generated(trained, tmp_path / "a", 4, noise=1.0)
    assert {row.other_files for row in read_manifest(tmp_path / "a")} == {()}
    sampler = open_cdtg_sampler(trained, CdtgSampleSettings(**QUICK))
    assert "train anew" in sampler.notes(CdtgSampleSettings(noise=0.4))[0]
    assert sampler.notes(CdtgSampleSettings(noise=0)) == []
