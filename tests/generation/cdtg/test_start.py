"""Training from the weights of an earlier generator: what is taken over, what is refused."""

import shutil

import pytest
import torch
from tests_support import CDTG, Stops

from tgn.generation.cdtg.architecture import recombining_architecture
from tgn.generation.cdtg.checkpoint import (
    UNTRAINED,
    load_conditional_generator,
    save_conditional_generator,
)
from tgn.generation.cdtg.conditional_generator import ConditionalGenerator
from tgn.generation.cdtg.settings import CdtgTrainSettings
from tgn.generation.cdtg.start import EMBEDDING, start_from
from tgn.generation.cdtg.train import build_cdtg_trainer, train_cdtg
from tgn.runtime.checkpoints import load_weights, read_metadata, save_weights
from tgn.runtime.devices import Device
from tgn.runtime.errors import NotFoundError, UserError
from tgn.runtime.progress import Silent
from tgn.runtime.training_loop import Job

CLASSES, FEATURES = ("harbour", "bridge", "pond"), 6
EXPECTED = recombining_architecture(32, 3, width=16)


@pytest.fixture
def old(tmp_path):
    """A generator of three classes, and its file."""
    network = ConditionalGenerator(EXPECTED, len(CLASSES), FEATURES)
    network.fusion.standardise(torch.randn(12, FEATURES, 2, 2))
    images = torch.randint(0, 256, (12, 3, 32, 32), dtype=torch.uint8)
    network.recombination.keep(images, torch.arange(12) % 3, [f"{row}.png" for row in range(12)])
    save_conditional_generator(tmp_path / "old.safetensors", network, CLASSES, "sha")
    return network, tmp_path / "old.safetensors"


def test_classes_are_matched_by_folder_and_a_missing_one_gets_the_mean(old):
    network, path = old
    new = start_from(path, ["pond", "station", "harbour"], EXPECTED, FEATURES)
    theirs, ours = network.generator.state_dict(), new.generator.state_dict()
    known = theirs.pop(EMBEDDING)
    placed = ours.pop(EMBEDDING)
    assert torch.equal(placed[0], known[2])
    assert torch.equal(placed[2], known[0])
    torch.testing.assert_close(placed[1], (known[2] + known[0]) / 2)  # of those the run has
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    assert new.num_classes == 3


def test_all_of_it_is_trained_and_images_of_the_file_are_not_kept(old):
    new = start_from(old[1], CLASSES, EXPECTED, FEATURES)
    assert new.architecture == EXPECTED
    assert all(weight.requires_grad for weight in new.parameters())
    assert old[0].recombination.kept.any()
    assert not new.recombination.kept.any()  # of the run's images, later
    assert new.recombination.counts.tolist() == [0, 0, 0]


def test_fusion_is_taken_over_where_it_can_be_used(old, tmp_path):
    network, path = old
    fusion = network.fusion.to_vector.weight
    assert torch.equal(
        start_from(path, CLASSES, EXPECTED, FEATURES).fusion.to_vector.weight, fusion
    )
    others = start_from(path, CLASSES, EXPECTED, FEATURES + 2)
    assert others.fusion.to_vector.weight.shape == (fusion.shape[0], FEATURES + 2)
    facts = {"fusion": UNTRAINED}
    save_conditional_generator(tmp_path / "imported.safetensors", network, CLASSES, "sha", **facts)
    imported = start_from(tmp_path / "imported.safetensors", CLASSES, EXPECTED, FEATURES)
    assert not torch.equal(imported.fusion.to_vector.weight, fusion)


@pytest.mark.parametrize(
    ("numbers", "folders", "message"),
    [
        ((64, 3, 16), CLASSES, "32 px with 3 bands, expected 64 px with 3.*size=32"),
        ((32, 1, 16), CLASSES, "32 px with 3 bands, expected 32 px with 1"),
        ((32, 3, 32), CLASSES, "has width 16, expected 32; take width=16"),
        ((32, 3, 16), ["station", "square"], "none of the run's classes.*harbour, bridge, pond"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(old, numbers, folders, message):
    with pytest.raises(UserError, match=f"old.safetensors.*{message}"):
        start_from(old[1], folders, recombining_architecture(*numbers), FEATURES)


def test_files_that_are_none_are_refused(old, tmp_path):
    with pytest.raises(NotFoundError, match="nothing.safetensors"):
        start_from(tmp_path / "nothing.safetensors", CLASSES, EXPECTED, FEATURES)
    header = {**read_metadata(old[1]), "format": "tgn-cdtg-1"}
    save_weights(tmp_path / "older.safetensors", load_weights(old[1]), header)
    with pytest.raises(UserError, match="expected 'tgn-cdtg-2'"):
        start_from(tmp_path / "older.safetensors", CLASSES, EXPECTED, FEATURES)


def settings(start, **changes) -> CdtgTrainSettings:
    few = {**CDTG, "steps": 2, "clip": "none", "start": str(start), "log_every": 1}
    return CdtgTrainSettings.model_validate({**few, **changes})


@pytest.fixture
def start(trained, tmp_path):
    """A generator's file outside the run, which has none."""
    shutil.move(trained.cdtg_generator, tmp_path / "start.safetensors")
    shutil.rmtree(trained.cdtg)
    return tmp_path / "start.safetensors"


def test_a_training_begins_with_the_weights_of_the_file(trained, start):
    chosen = settings(start)
    built = build_cdtg_trainer(trained, chosen, Job(trained.cdtg, Device(chosen), Silent()))
    given, _ = load_conditional_generator(start)
    for network in (built.networks.generator, built.averaged_generator):
        found, expected = network.generator.state_dict(), given.generator.state_dict()
        assert all(torch.equal(value, expected[name]) for name, value in found.items())
        assert network.recombination.counts.tolist() == [16, 12, 6, 4]
        assert network.recombination.kept.any()


def test_it_goes_on_where_it_stopped_and_from_that_file_alone(trained, start):
    train_cdtg(trained, settings(start), Silent())
    straight = trained.cdtg_generator.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        train_cdtg(trained, settings(start), Stops(1), resume=False)
    train_cdtg(trained, settings(start), Silent())
    assert trained.cdtg_generator.read_bytes() == straight
    weights, header = load_weights(start), read_metadata(start)
    weights["generator.constant"] = weights["generator.constant"] + 1
    save_weights(start, weights, header)
    with pytest.raises(UserError, match="start_sha256 differ.*--no-resume"):
        train_cdtg(trained, settings(start, steps=3), Silent())


def test_a_start_that_is_not_there_is_refused_before_any_work(trained, start):
    with pytest.raises(NotFoundError, match="nowhere.safetensors"):
        train_cdtg(trained, settings("nowhere.safetensors"), Silent())
    assert not trained.cdtg.exists()


def test_a_run_cannot_start_from_the_file_that_it_will_overwrite(trained):
    before = trained.cdtg_generator.read_bytes()
    with pytest.raises(UserError, match="own generator.*copy it"):
        train_cdtg(trained, settings(trained.cdtg_generator), Silent(), resume=False)
    assert trained.cdtg_generator.read_bytes() == before
