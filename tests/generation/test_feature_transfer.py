"""Features of a source, moved as two images of a head class differ; hand-worked and in images."""

import json

import pytest
import torch
from tests_support import QUICK

from tgn.backends import backend
from tgn.data.split import ClassEntry, Split
from tgn.generation.cdtg.sampler import open_cdtg_sampler
from tgn.generation.cdtg.settings import CdtgSampleSettings
from tgn.generation.diffusion.settings import DiffusionSampleSettings
from tgn.generation.feature_transfer import check_transfer, conditioning_features
from tgn.generation.sampling_plan import plan_block
from tgn.generation.settings import GenerateSettings
from tgn.models.feature_bank import FeatureBank, read_bank, write_bank
from tgn.runtime.errors import UserError

LABELS = torch.tensor([1, 1, 0, 0])  # the tail comes first; class 0 is the head


def bank(labels=LABELS) -> FeatureBank:
    """Rows of value 1, 2, 10, 40 in view 0, and ten times that in view 1."""
    values = torch.tensor([[1.0, 10], [2, 20], [10, 100], [40, 400]])
    features = values[..., None, None, None].expand(4, 2, 3, 1, 1).half()
    return FeatureBank(features, labels, list("abcd"), "hash")


def split() -> Split:
    classes = [ClassEntry(folder=name, name=name, train=2, val=0, test=0) for name in "ht"]
    return Split(root="", classes=classes, num_head=1, train=(), val=(), test=())


def plan():
    return plan_block(bank(), split(), 1, 0, GenerateSettings(block=12))


def test_features_move_by_the_scaled_difference_of_two_head_images_in_the_sources_view():
    drawn = plan()
    found = conditioning_features(bank(), split(), 1, drawn, 0.5)
    assert found.shape == (12, 3, 1, 1)
    own = torch.tensor([1.0, 2])[drawn.sources]
    scale = torch.tensor([1.0, 10])[drawn.views]
    difference = (found[:, 0, 0, 0] / scale - own).tolist()
    assert {round(each, 3) for each in difference} == {15.0, -15.0}  # half of 40 - 10


def test_without_transfer_no_number_is_drawn_and_after_it_other_numbers_stay():
    drawn, fresh = plan(), plan()
    found = conditioning_features(bank(), split(), 1, drawn, 0)
    assert torch.equal(found[:, 0, 0, 0], bank().features[drawn.sources, drawn.views, 0, 0, 0])
    assert torch.equal(drawn.noise(3), fresh.noise(3))
    again = plan()
    again.noise(3)
    assert torch.equal(
        conditioning_features(bank(), split(), 1, again, 1),
        conditioning_features(bank(), split(), 1, drawn, 1),
    )


def test_a_bank_without_two_images_of_a_head_class_is_refused():
    check_transfer(bank(), split(), 0.5)
    alone = bank(torch.tensor([1, 1, 1, 0]))
    check_transfer(alone, split(), 0)
    with pytest.raises(UserError, match="transfer got 0.5, but the feature bank has no two images"):
        check_transfer(alone, split(), 0.5)


def test_transfer_where_features_are_ignored_or_there_are_none_is_refused():
    with pytest.raises(ValueError, match="transfer got noise=1, which ignores features"):
        CdtgSampleSettings(transfer=0.5, noise=1)
    assert CdtgSampleSettings(transfer=0.5, noise="1,0.7").transfer == 0.5
    assert "transfer" not in backend("stable-diffusion").sample_settings.model_fields


def test_manifests_say_transfer_only_where_there_is_some():
    assert CdtgSampleSettings().how == ""
    assert CdtgSampleSettings(compile=True).how == ""
    assert json.loads(CdtgSampleSettings(transfer=0.5).how) == {"transfer": 0.5}
    assert "transfer" not in json.loads(DiffusionSampleSettings().how)
    assert json.loads(DiffusionSampleSettings(transfer=0.5).how)["transfer"] == 0.5
    assert not CdtgSampleSettings(transfer=0.5).is_recorded_as("")


def test_images_change_with_transfer_and_come_from_the_same_sources(trained):
    sampler = open_cdtg_sampler(trained, CdtgSampleSettings(**QUICK))
    label = trained.split().num_classes - 1
    chosen = [CdtgSampleSettings(noise=0.3, transfer=t, block=4, **QUICK) for t in (0, 1, 1)]
    drawn = [sampler.sample_block(label, 0, each) for each in chosen]
    assert drawn[0][1] == drawn[1][1]
    assert not torch.equal(drawn[0][0], drawn[1][0])
    assert torch.equal(drawn[1][0], drawn[2][0])


def test_a_run_whose_bank_has_no_head_is_refused_when_it_is_opened(trained):
    full, tail = read_bank(trained.kmdn), sum(trained.split().counts[1:])
    write_bank(
        trained.kmdn,
        FeatureBank(
            full.features[:tail], full.labels[:tail], full.files[:tail], full.weights_sha256
        ),
    )
    with pytest.raises(UserError, match="tgn distill"):
        open_cdtg_sampler(trained, CdtgSampleSettings(transfer=0.5, **QUICK))
