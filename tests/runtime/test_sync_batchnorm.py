"""Batch normalisation of processes whose images have different shapes."""

import subprocess
import sys

import torch
from torch import distributed, nn

from tgn.runtime.sync_batchnorm import SharedBatchNorm2d

SHAPES = ((2, 3, 8, 8), (1, 3, 8, 4))


def images_of(rank: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(rank)
    return torch.randn(SHAPES[rank], generator=draw) * (1 + rank) + 2


def normalise(rank: int, folder: str) -> None:
    """What each process does."""
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=len(SHAPES)
    )
    net = SharedBatchNorm2d(3)
    torch.save({"output": net(images_of(rank)).detach(), **net.state_dict()}, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def test_statistics_are_those_of_all_pixels(tmp_path):
    words = [sys.executable, __file__]
    running = [subprocess.Popen([*words, str(rank), str(tmp_path)]) for rank in (0, 1)]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    pixels = [images_of(rank).permute(0, 2, 3, 1).reshape(-1, 3) for rank in (0, 1)]
    plain = nn.BatchNorm1d(3)
    expected = plain(torch.cat(pixels)).split([len(part) for part in pixels])
    for own, wanted in zip(found, expected, strict=True):
        output = own["output"].permute(0, 2, 3, 1).reshape(-1, 3)
        torch.testing.assert_close(output, wanted.detach(), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(own["running_var"], plain.running_var)
        torch.testing.assert_close(own["running_mean"], plain.running_mean)


if __name__ == "__main__":
    normalise(int(sys.argv[1]), sys.argv[2])
