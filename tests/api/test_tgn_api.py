"""The Python interface of tgn: what a researcher types in a notebook."""

import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from tests_support import QUICK

import tgn
from tgn.backends import generate
from tgn.data.image_set import ImageSet
from tgn.data.images import to_u8
from tgn.generation.cdtg.settings import CdtgSampleSettings
from tgn.generation.generate import GenerationRequest
from tgn.generation.sampling_plan import plan_block
from tgn.generation.source_images import SourceImages
from tgn.models.feature_bank import read_bank
from tgn.runtime.devices import Device
from tgn.runtime.progress import Silent

IMAGES, FEATURES = torch.zeros(2, 3, 32, 32, dtype=torch.uint8), torch.zeros(2, 5, 4, 4)


def test_a_run_is_loaded_by_name_by_path_and_by_default(fake_run):
    for given in ("fake", fake_run.path, str(fake_run.path), None):
        run = tgn.load_run(given)
        assert (run.name, run.classes) == ("fake", ["square", "disc", "bar", "cross"])
        assert run.tail_classes == ["disc", "bar", "cross"]


@pytest.mark.parametrize("given", ["nothing", "some/where"])
def test_an_unknown_run_is_named(fake_run, given):
    with pytest.raises(tgn.TgnError, match=given):
        tgn.load_run(given)


def test_a_run_without_a_generator_says_how_to_get_one(fake_run):
    with pytest.raises(tgn.TgnError, match="tgn distill|tgn train"):
        tgn.load_run("fake").generator()


def test_images_are_those_of_tgn_generate(trained, tmp_path):
    generator = tgn.load_run("fake").generator(device="cpu", precision="float32")
    images = generator.sample("bar", n=4, noise=0.5)
    assert images.shape == (4, 3, generator.size, generator.size)
    assert images.images.dtype == torch.uint8
    assert (len(images), np.asarray(images).shape) == (4, images.shape)
    assert all(source.startswith("train/bar/") for source in images.sources)
    settings = CdtgSampleSettings(n=4, noise=0.5, block=4, **QUICK)
    request = GenerationRequest((trained.split().class_called("bar"),), tmp_path / "out", settings)
    generate(trained, request, Silent())
    files = sorted((tmp_path / "out" / "bar").glob("*.png"))
    assert torch.equal(
        ImageSet(files, [0] * 4, generator.size).batch(torch.arange(4)), images.images
    )


def test_another_seed_gives_other_images_and_the_same_seed_the_same(trained):
    generator = tgn.load_run("fake").generator(device="cpu")
    first, again, other = (generator.sample("bar", 2, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)
    assert first.seeds != other.seeds


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_name": "car"}, "no class 'car'; valid: 0 = disc"),
        ({"class_name": "bar", "noise": 2}, "noise"),
        ({"class_name": "bar", "n": 0}, "block|n "),
    ],
)
def test_wrong_arguments_of_sample_are_named(trained, arguments, message):
    with pytest.raises(tgn.TgnError, match=message):
        tgn.load_run("fake").generator(device="cpu").sample(**arguments)


def test_a_generator_is_loaded_without_its_run(trained):
    generator = tgn.load_generator(trained.cdtg_generator, device="cpu")
    assert generator.classes == ["square", "disc", "bar", "cross"]
    noise = generator.sample("bar", n=3)
    assert noise.shape == (3, 3, generator.size, generator.size)
    assert noise.class_name == "bar"
    features = torch.rand(2, generator.feature_channels, 4, 4)
    images = torch.randint(256, (2, 3, generator.size, generator.size), dtype=torch.uint8)
    redrawn = generator.sample(2, noise=0.1, sources=(images, features))
    assert (len(redrawn), redrawn.class_name) == (2, "bar")
    assert not torch.equal(redrawn[0], redrawn[1])
    others = generator.sample(2, noise=0.1, sources=(255 - images, features))
    assert not torch.equal(redrawn.images, others.images)


def test_a_generator_alone_draws_the_images_of_its_run(trained):
    """By name or by index, from sources with the bank's features or from noise alone."""
    in_run = tgn.load_run("fake").generator(device="cpu")
    alone = tgn.load_generator(trained.cdtg_generator, device="cpu")
    bank, label = read_bank(trained.kmdn), trained.split().class_called("bar")
    settings = CdtgSampleSettings(block=4, seed=3, **QUICK)
    plan = plan_block(bank, trained.split(), label, 0, settings)
    features = bank.features[plan.sources, plan.views].float()
    of_run = SourceImages.of(bank, trained, alone.size, 3)
    sources = to_u8(of_run.of_plan(plan, Device(settings))), features
    for noise, given in ((1.0, None), (0.5, sources)):
        expected = in_run.sample("bar", 4, noise, seed=3)
        for named in ("bar", label):
            images = alone.sample(named, 4, noise, given, seed=3)
            assert images.seeds == expected.seeds
            assert (images.images.int() - expected.images.int()).abs().max() <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_name": "car"}, "expected an index 0 to 3, or a name: square"),
        ({"class_name": "bar", "noise": 0.5}, "only noise=1 needs none"),
        ({"class_name": "bar", "sources": (IMAGES, FEATURES)}, r"features got \[2, 5"),
        (
            {"class_name": "bar", "sources": (IMAGES[:, :, 1:], FEATURES)},
            r"images got torch.uint8 \[2, 3, 31, 32\], expected torch.uint8 \[n, 3, 32, 32\]",
        ),
        (
            {"class_name": "bar", "sources": (IMAGES.float(), FEATURES)},
            "images got torch.float32",
        ),
        ({"class_name": "bar", "n": 0}, "expected at least 1"),
        ({"class_name": "bar", "noise": 1.5}, "expected r in"),
    ],
)
def test_wrong_arguments_of_a_bare_generator_are_named(trained, arguments, message):
    generator = tgn.load_generator(trained.cdtg_generator, device="cpu")
    with pytest.raises(tgn.TgnError, match=message):
        generator.sample(**arguments)


def test_a_file_that_is_no_generator_is_refused(trained):
    with pytest.raises(tgn.TgnError, match="expected 'tgn-cdtg-2'"):
        tgn.load_generator(trained.kmdn / "tail.safetensors")
    with pytest.raises(tgn.TgnError, match="no trained generator"):
        tgn.load_generator("nothing.safetensors")


def test_import_is_quick_and_loads_no_torch():
    """Under 0.3 s on an idle machine; here the CPU seconds of the child are bounded."""
    code = "import time; t = time.process_time(); import tgn, classify; import sys; " + (
        "assert 'torch' not in sys.modules; print(time.process_time() - t)"
    )
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 0.3, f"wall time {time.monotonic() - started:.1f} s"


def test_every_public_name_is_there():
    assert set(tgn.__all__) <= set(dir(tgn))
    assert all(getattr(tgn, name) is not None for name in tgn.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tgn.nothing


def test_a_generator_alone_draws_no_class_that_it_keeps_no_images_of(trained):
    generator = tgn.load_generator(trained.cdtg_generator, device="cpu")
    generator.network.recombination.counts[0] = 0
    with pytest.raises(tgn.TgnError, match="not trained on its images"):
        generator.sample("square", n=2)
