"""Former names of settings: typed by users they are answered, in files they are read."""

import json

import pytest

from tgn.backends import BACKENDS, backend
from tgn.generation.diffusion.settings import DiffusionSampleSettings, DiffusionTrainSettings
from tgn.kmdn.settings import DistillSettings
from tgn.runtime.errors import UserError

RENAMED = [
    (DiffusionTrainSettings, "dropped=0.2", "class_dropout"),
    (DiffusionSampleSettings, "doubt=0.1", "conditioning_noise"),
    (DistillSettings, "warmup=0.2", "warmup_fraction"),
]


@pytest.mark.parametrize(("settings", "override", "name"), RENAMED)
def test_a_former_name_is_answered_with_the_new_one(settings, override, name):
    former = override.partition("=")[0]
    with pytest.raises(UserError, match=f"'{former}' is now called '{name}'"):
        settings.resolve(None, (override,))
    assert settings.with_new_names({former: 1}) == {name: 1}


def test_images_recorded_with_former_names_count_as_made_with_the_same_settings():
    settings = DiffusionSampleSettings(device="cpu")
    recorded = json.loads(settings.how)
    former = {"doubt": recorded.pop("conditioning_noise"), **recorded}
    assert settings.is_recorded_as(json.dumps(former))
    assert settings.is_recorded_as(settings.how)
    for other in (former | {"doubt": 0.9}, former | {"guidance": 3.0}, {}, [1]):
        assert not settings.is_recorded_as(json.dumps(other))
    assert not settings.is_recorded_as("")
    assert not settings.is_recorded_as("{")


@pytest.mark.parametrize("name", BACKENDS)
def test_every_backend_knows_its_own_record(name):
    settings = backend(name).sample_settings(device="cpu")
    assert settings.is_recorded_as(settings.how)
    assert not settings.is_recorded_as('{"other": 1}')
