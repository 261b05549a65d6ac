"""A byte that changes in a file of ours is noticed when the file is read."""

import random
from contextlib import suppress

import pytest
import torch

from tgn.data.manifest import ManifestRow, rows_of, write_filtered
from tgn.runtime.checkpoints import load_weights, read_metadata, save_weights
from tgn.runtime.errors import DataError, UserError
from tgn.runtime.files import read_json, write_json
from tgn.runtime.remedies import remedy_for
from tgn.runtime.seals import sealed, unsealed

CONTENT = {"a": [1, 2.5, None], "name": "Häfen", "inner": {"1": True}, "step": 3}


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_a_mapping_survives_its_seal():
    assert unsealed(sealed(CONTENT)) == CONTENT


def test_what_has_no_checksum_is_of_an_older_version():
    assert unsealed(CONTENT) == CONTENT


def test_keys_that_are_numbers_may_become_text():
    assert unsealed({"9": 1, "10": 2, "checksum": sealed({9: 1, 10: 2})["checksum"]}) == {
        "9": 1,
        "10": 2,
    }


def test_the_name_of_a_checksum_is_checked_too():
    renamed = {k if k != "checksum" else "chdcksum": v for k, v in sealed(CONTENT).items()}
    with pytest.raises(ValueError, match="checksum"):
        unsealed(renamed)


@pytest.mark.parametrize("changed", [{"step": 4}, {"more": 0}, {"name": "Hafen"}])
def test_a_changed_mapping_is_refused(changed):
    with pytest.raises(ValueError, match="checksum"):
        unsealed(sealed(CONTENT) | changed)


def test_no_flip_of_a_bit_gives_another_json(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, CONTENT)
    whole = path.read_bytes()
    for bit in range(8 * len(whole)):
        path.write_bytes(flipped(whole, bit))
        with suppress(DataError):
            assert read_json(path) == CONTENT  # else it was white space


def test_no_flip_of_a_bit_gives_other_weights(tmp_path):
    path = tmp_path / "net.safetensors"
    weights = {"a": torch.randn(3, 4), "b.c": torch.arange(5), "s": torch.tensor(2.0)}
    save_weights(path, weights, {"format": "x", "facts": "{}"})
    whole = path.read_bytes()
    for bit in random.Random(1).sample(range(8 * len(whole)), 1500):
        path.write_bytes(flipped(whole, bit))
        with suppress(UserError):
            found, metadata = load_weights(path), read_metadata(path)
            assert found.keys() == weights.keys()
            assert all(torch.equal(found[name], weights[name]) for name in weights)
            assert metadata == {"format": "x", "facts": "{}"}


def test_no_flip_of_a_bit_gives_other_rows(tmp_path):
    rows = [
        ManifestRow(file=f"a/{k}.png", folder="a", class_index=3, index=k, noise=0.5)
        for k in range(3)
    ]
    write_filtered(tmp_path, rows)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for bit in [*random.Random(2).sample(range(8 * len(whole)), 1500), 8 * len(whole) - 1]:
        path.write_bytes(flipped(whole, bit))
        with suppress(DataError):
            assert list(rows_of(path)) == rows


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("runs/a/kmdn/tail.safetensors", "tgn distill --no-resume"),
        ("runs/a/generated/manifest.jsonl", "tgn generate"),
        ("runs/a/split.json", "tgn split DATA --from"),
        ("elsewhere/classifier.safetensors", "classify train"),
        ("elsewhere/other.json", "put it back"),
    ],
)
def test_the_command_that_makes_a_file_anew(tmp_path, file, command):
    assert command in remedy_for(tmp_path / file)
