"""A published checkpoint in a run: the same images, and nothing that runs code."""

import os
import shutil

import pytest
import torch
from tests_support import CDTG, QUICK, Command, Stops, Warned, in_process

from tgn.backends import generate
from tgn.cli.main import main
from tgn.data.images import to_u8
from tgn.generation.cdtg.checkpoint import load_conditional_generator
from tgn.generation.cdtg.generator import StyleGenerator
from tgn.generation.cdtg.import_published import import_generator
from tgn.generation.cdtg.published_weights import _published_names
from tgn.generation.cdtg.sampler import open_cdtg_sampler
from tgn.generation.cdtg.settings import CdtgSampleSettings, CdtgTrainSettings
from tgn.generation.cdtg.train import train_cdtg
from tgn.generation.generate import GenerationRequest
from tgn.runtime.errors import NotFoundError, UserError
from tgn.runtime.progress import Silent

CHANNELS = {4: 8, 8: 8, 16: 8}


def generator(classes: int) -> StyleGenerator:
    torch.manual_seed(3)
    return StyleGenerator(32, classes, 16, 2, CHANNELS).eval()


def published(net: StyleGenerator, folder, **entries) -> str:
    """Write a generator as the published code would."""
    names = _published_names(len(net.mapping_network), len(net.blocks))
    state = {names[ours]: value.clone() for ours, value in net.state_dict().items()}
    state["noises.noise_0"] = torch.zeros(1, 1, 4, 4)
    torch.save({"g_ema": state, "g": {}, **entries}, folder / "200000.pt")
    return folder / "200000.pt"


@pytest.fixture
def tgn(monkeypatch, capsys) -> Command:
    return in_process(main, monkeypatch, capsys)


def test_an_imported_generator_generates_its_own_images(distilled, tmp_path):
    net = generator(classes=3)
    imported = import_generator(distilled, published(net, tmp_path))
    assert imported.classes == (1, 2, 3)  # the tail of the run
    assert load_conditional_generator(imported.path)[1].trained_against is None
    settings = CdtgSampleSettings(noise=1.0, block=4, **QUICK)
    sampler = open_cdtg_sampler(distilled, settings)
    images, origins = sampler.sample_block(2, 0, settings)
    generators = [torch.Generator().manual_seed(seed) for _, seed, *_ in origins]
    for own in generators:
        torch.randint(sampler.bank.views, (), generator=own)
    noise = torch.stack(
        [torch.randn(sampler.network.noise_dim, generator=own) for own in generators]
    )
    z, maps = noise[:, :16], net.split_noise(noise[:, 16:])
    with torch.no_grad():
        expected = net(z, torch.full((4,), 1), maps)  # published label 1 is the run's class 2
    assert (to_u8(expected).int() - images.int()).abs().max() <= 1


@pytest.mark.parametrize("classes", [3, 4])
def test_head_classes_are_drawn_if_the_published_labels_are_of_all_classes(
    distilled, tmp_path, classes
):
    import_generator(distilled, published(generator(classes), tmp_path))
    settings = CdtgSampleSettings(noise=1.0, n=2, block=2, **QUICK)
    request = GenerationRequest((0, 1), tmp_path / "out", settings)
    if classes == 3:
        with pytest.raises(UserError, match="knows tail classes only"):
            generate(distilled, request, Silent())
        return
    assert generate(distilled, request, Silent()) == {"square": 2, "disc": 2}


def test_features_with_an_untrained_fusion_are_warned_about(distilled, tmp_path):
    import_generator(distilled, published(generator(4), tmp_path))
    for noise, warnings in ((1.0, 0), (0.5, 1)):
        progress = Warned()
        settings = CdtgSampleSettings(noise=noise, n=2, **QUICK)
        generate(distilled, GenerationRequest((1,), tmp_path / f"out{noise}", settings), progress)
        assert len(progress.said) == warnings


def test_what_does_not_fit_is_refused(distilled, tmp_path):
    with pytest.raises(UserError, match="has 7 classes, the run 3 tail classes of 4"):
        import_generator(distilled, published(generator(7), tmp_path))
    torch.save({"g": {}}, tmp_path / "x.pt")
    with pytest.raises(UserError, match="holds a dict with .*'g': dict.*under 'g_ema'"):
        import_generator(distilled, tmp_path / "x.pt")
    with pytest.raises(NotFoundError, match="nowhere"):
        import_generator(distilled, tmp_path / "nowhere.pt")
    good = published(generator(3), tmp_path)
    import_generator(distilled, good)
    with pytest.raises(UserError, match="import into another run"):
        import_generator(distilled, good)


def test_training_refuses_to_overwrite_an_imported_generator_unless_told(distilled, tmp_path):
    path = import_generator(distilled, published(generator(3), tmp_path)).path
    before = path.read_bytes()
    chosen = CdtgTrainSettings.model_validate({**CDTG, "steps": 2, "clip": "none"})
    with pytest.raises(UserError, match=r"imported generator.*--run NAME.*--no-resume"):
        train_cdtg(distilled, chosen, Silent())
    assert path.read_bytes() == before
    assert [file.name for file in distilled.cdtg.iterdir()] == [path.name]
    with pytest.raises(KeyboardInterrupt):
        train_cdtg(distilled, chosen, Stops(after=1), resume=False)
    train_cdtg(distilled, chosen, Silent())  # goes on with the training that replaces it
    assert load_conditional_generator(path)[1].fusion_is_trained


def test_init_imported_keeps_the_import_takes_its_size_and_draws_at_it(distilled, tmp_path, tgn):
    path = import_generator(distilled, published(generator(3), tmp_path)).path
    before = path.read_bytes()
    quick = [
        w
        for pair in {**CDTG, "steps": 2, "clip": "none"}.items()
        for w in ("--set", f"{pair[0]}={pair[1]}")
        if pair[0] not in ("size", "width")
    ]
    words = ("train", "--init", "imported", *quick)
    plan = tgn(*words, "--dry-run")
    assert 'start: "imported"' in plan.stdout, plan.stderr
    assert "size: 32" in plan.stdout  # the default is 64
    refused = tgn(*words, "--set", "width=16")
    assert (refused.code, "leave width out" in refused.stderr) == (2, True)
    assert not distilled.cdtg_import.exists()
    done = tgn(*words)
    assert done.code == 0, done.stderr
    assert distilled.cdtg_import.read_bytes() == before
    trained, facts = load_conditional_generator(path)
    assert facts.fusion_is_trained
    assert not trained.architecture.recombines
    assert trained.architecture.size == 32
    assert tgn(*words).code == 0  # it is complete
    refused = tgn("train", "--init", str(path))
    assert (refused.code, "copy it to another place" in refused.stderr) == (2, True)


def test_init_imported_goes_on_after_an_interruption_and_draws_meanwhile(distilled, tmp_path):
    path = import_generator(distilled, published(generator(3), tmp_path)).path
    before = path.read_bytes()
    chosen = {**CDTG, "steps": 2, "clip": "none", "start": "imported"}
    chosen = CdtgTrainSettings.model_validate({k: v for k, v in chosen.items() if k != "width"})
    with pytest.raises(KeyboardInterrupt):
        train_cdtg(distilled, chosen, Stops(after=1))
    assert path.read_bytes() == before
    with pytest.raises(UserError, match="tgn train --init imported"):
        train_cdtg(distilled, chosen.with_changes({"start": ""}), Silent())
    train_cdtg(distilled, chosen, Silent())
    assert load_conditional_generator(path)[1].fusion_is_trained
    assert distilled.cdtg_import.read_bytes() == before


def test_init_without_an_import_or_with_another_backend_is_refused(distilled, tgn):
    none = tgn("train", "--init", "imported")
    assert (none.code, "first: tgn import FILE" in none.stderr) == (2, True)
    other = tgn("train", "--backend", "diffusion", "--init", "imported")
    assert (other.code, "it goes with cdtg" in other.stderr) == (2, True)


def test_a_training_starts_from_an_imported_generator_and_recombines_nothing(distilled, tmp_path):
    start = tmp_path / "published.safetensors"
    shutil.move(import_generator(distilled, published(generator(3), tmp_path)).path, start)
    before, _ = load_conditional_generator(start)
    chosen = {**CDTG, "steps": 2, "clip": "none", "start": str(start)}
    del chosen["width"]  # its layers have their own
    train_cdtg(distilled, CdtgTrainSettings.model_validate(chosen), Silent())
    after, facts = load_conditional_generator(distilled.cdtg_generator)
    assert not after.architecture.recombines
    assert after.recombination is None
    assert facts.fusion_is_trained
    moved = (after.generator.constant - before.generator.constant).abs().max()
    assert 0 < moved < 0.1
    settings = CdtgSampleSettings(noise=0.5, block=4, **QUICK)
    sampler = open_cdtg_sampler(distilled, settings)
    images, _ = sampler.sample_block(2, 0, settings)
    assert images.shape == (4, 3, 32, 32)
    assert sampler.notes(settings) == []


def test_classes_that_the_published_generator_lacks_stand_in_its_middle(distilled, tmp_path):
    net = generator(classes=3)
    import_generator(distilled, published(net, tmp_path))
    network, _ = load_conditional_generator(distilled.cdtg_generator)
    rows = network.generator.label_embedding.weight
    torch.testing.assert_close(rows[0], net.label_embedding.weight.mean(0))
    torch.testing.assert_close(rows[1:], net.label_embedding.weight.detach())


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("owned",)


def test_a_file_that_would_run_code_is_refused(distilled, tmp_path):
    file = published(generator(3), tmp_path, extra=Hostile())
    with pytest.raises(UserError, match="cannot read weights"):
        import_generator(distilled, file)
    assert not os.path.exists("owned")  # noqa: PTH110
