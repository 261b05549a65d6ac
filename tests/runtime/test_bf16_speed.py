import pytest
import torch

from tgn.runtime import bf16_speed
from tgn.runtime.bf16_speed import cpu_is_faster_in_bf16
from tgn.runtime.settings import ComputeSettings


@pytest.mark.parametrize(
    ("amx", "avx512", "bf16_seconds", "expected"),
    [(True, True, 9.0, True), (False, False, 0.1, False), (False, True, 0.5, True)]
    + [(False, True, 1.8, False), (False, True, 0.9, False)],  # an Intel Xeon; noise of a busy one
)
def test_bf16_is_chosen_where_it_is_known_or_measured_to_be_faster(
    monkeypatch, amx, avx512, bf16_seconds, expected
):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(bf16_speed, "_seconds", lambda *_: [bf16_seconds, 1.0])
    cpu_is_faster_in_bf16.cache_clear()
    assert cpu_is_faster_in_bf16() is expected
    cpu_is_faster_in_bf16.cache_clear()


def test_a_product_takes_time():
    assert all(0 < seconds < 1 for seconds in bf16_speed._seconds(torch.float32, torch.float64))


def test_the_main_process_decides_for_all(monkeypatch):
    import accelerate.utils

    from tgn.runtime import devices

    def of_main(objects: list[str]) -> None:
        objects[:] = ["bf16"]

    monkeypatch.setattr(devices, "_has_fast_bf16", lambda _: False)
    monkeypatch.setattr(accelerate.utils, "broadcast_object_list", of_main)
    settings = ComputeSettings(device="cpu")
    assert devices.Device(settings).precision == "float32"
    monkeypatch.setattr(devices.Device, "processes", 2)
    assert devices.Device(settings).precision == "bf16"
    assert devices.Device(ComputeSettings(device="cpu", precision="float32")).precision == "float32"
