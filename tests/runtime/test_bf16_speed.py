import pytest
import torch

from tgn.runtime import bf16_speed
from tgn.runtime.bf16_speed import cpu_is_faster_in_bf16


@pytest.mark.parametrize(
    ("amx", "avx512", "bf16_seconds", "expected"),
    [(True, True, 9.0, True), (False, False, 0.1, False), (False, True, 0.5, True)]
    + [(False, True, 1.8, False)],  # an Intel Xeon without AMX
)
def test_bf16_is_chosen_where_it_is_known_or_measured_to_be_faster(
    monkeypatch, amx, avx512, bf16_seconds, expected
):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    seconds = {torch.bfloat16: bf16_seconds, torch.float32: 1.0}
    monkeypatch.setattr(bf16_speed, "_seconds", seconds.__getitem__)
    cpu_is_faster_in_bf16.cache_clear()
    assert cpu_is_faster_in_bf16() is expected
    cpu_is_faster_in_bf16.cache_clear()


def test_a_product_takes_time():
    assert 0 < bf16_speed._seconds(torch.float32) < 1
