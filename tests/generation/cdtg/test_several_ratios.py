"""``tgn generate --noise 1,0.5``: every draw at each of several noise ratios."""

import pytest
from generation_support import assert_order_does_not_matter, generate_tail
from tests_support import QUICK, in_process

from tgn.cli import main as cli
from tgn.data.manifest import read_manifest
from tgn.generation.cdtg.settings import CdtgSampleSettings
from tgn.runtime.errors import UserError


def generated(run, out, n, classes=None, **changes):
    changed = {**QUICK, "n": n, "block": 4, "noise": "1,0.5,0", **changes}
    return generate_tail(run, out, CdtgSampleSettings.model_validate(changed), classes)


def test_image_i_is_draw_i_over_k_at_ratio_i_mod_k(trained, tmp_path):
    """And with each ratio alone the same draws are the same bytes, in whatever order."""
    rows = assert_order_does_not_matter(generated, trained, tmp_path, 13)
    label = rows[0].class_index
    own = [row for row in rows if row.class_index == label]
    assert [row.noise for row in own] == [1, 0.5, 0] * 4 + [1]
    assert [row.seed for row in own] == [own[3 * (i // 3)].seed for i in range(13)]
    for number, ratio in enumerate((1.0, 0.5, 0.0)):
        alone = tmp_path / f"{ratio}"
        generated(trained, alone, 5, (label,), noise=ratio)
        single = [row.sha256 for row in read_manifest(alone)]
        several = [row.sha256 for row in own[number::3]]
        assert several == single[: len(several)]


def test_other_ratios_are_not_mixed_in(trained, tmp_path):
    generated(trained, tmp_path, 3)
    with pytest.raises(UserError, match="generated with other weights, noise"):
        generated(trained, tmp_path, 3, noise=1.0)


@pytest.mark.parametrize("given", ["1,0.7,0.4", [1, 0.7, 0.4]])
def test_one_ratio_or_several_are_one_setting(given):
    several = CdtgSampleSettings.joined({"noise": given})
    assert (several.noise, several.ratios) == (1.0, (1.0, 0.7, 0.4))
    assert CdtgSampleSettings.model_validate(several.model_dump()).ratios == several.ratios
    alone = CdtgSampleSettings.joined({"noise": "0.05"})
    assert (alone.noise, alone.ratios, alone.noise_ratios) == (0.05, (0.05,), ())


@pytest.mark.parametrize("wrong", ["1,1", "1,2", "x", "1,", []])
def test_wrong_ratios_are_refused(wrong):
    with pytest.raises(UserError, match="noise"):
        CdtgSampleSettings.joined({"noise": wrong})


def test_the_command_takes_one_or_several(trained, monkeypatch, capsys):
    run = in_process(cli.main, monkeypatch, capsys)
    words = ("generate", "--class", "all", "--dry-run", "--device", "cpu", "--noise")
    assert "noise_ratios: [1.0, 0.7]" in run(*words, "1,0.7").stdout
    assert "noise: 0.05 " in run(*words, "0.05").stdout
