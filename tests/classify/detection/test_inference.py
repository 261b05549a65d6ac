"""Detection in a stream: tile by tile, in order, in the memory of a batch."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from classify.detection.average_precision import Detections
from classify.detection.evaluation import inference
from classify.detection.evaluation.inference import BATCH_SIZE, detect_images, unlabelled
from classify.detection.models.build import DetectorSpec
from tgn.runtime.devices import Device
from tgn.runtime.errors import DataError
from tgn.runtime.settings import ComputeSettings

SPEC = DetectorSpec("retinanet", "resnet18", ("spot",), 32, tile_size=32, tile_overlap=0.25)


class BrightSpots(torch.nn.Module):
    """Stands for a network: a box of 2 x 2 at every pixel that is white; counts what it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[list[tuple[int, ...]]] = []

    def forward(self, images):
        self.shapes.append([tuple(image.shape) for image in images])
        return [self.of(image) for image in images]

    def of(self, image):
        y, x = (image.amin(dim=0) > 0.99).nonzero().float().unbind(1)
        boxes = torch.stack((x, y, x + 2, y + 2), dim=1)
        scores = torch.linspace(0.9, 0.5, len(boxes))
        return {"boxes": boxes, "labels": torch.zeros(len(boxes)).long(), "scores": scores}


def write(path: Path, size, spots=()) -> Path:
    picture = Image.new("RGB", size, (90, 90, 90))
    for spot in spots:
        picture.putpixel(spot, (255, 255, 255))
    picture.save(path)
    return path


def found_in(paths, net, **more):
    device = Device(ComputeSettings(device="cpu"))
    return detect_images(net, SPEC, map(unlabelled, paths), device, **more)


def test_tiles_become_images_in_order(tmp_path):
    spots = [(3, 4), (31, 20), (90, 60)]  # the second in two tiles
    paths = [
        write(tmp_path / "a.png", (100, 70), spots),
        write(tmp_path / "b.png", (20, 24), [(5, 6)]),
        write(tmp_path / "c.png", (20, 24)),
    ]
    seen: list[int] = []
    found = list(found_in(paths, BrightSpots(), on_tile=seen.append))
    assert [one.image.path for one in found] == paths
    corners = sorted(map(tuple, found[0].detections.boxes[:, :2].int().tolist()))
    assert corners == spots
    assert [len(one.detections.boxes) for one in found[1:]] == [1, 0]
    assert seen == [BATCH_SIZE, sum(seen) - BATCH_SIZE, *seen[2:]]
    assert max(seen) <= BATCH_SIZE


def test_images_of_different_sizes_are_not_padded_together(tmp_path):
    sizes = [(20, 24), (24, 20), (20, 24)]
    net = BrightSpots()
    list(found_in([write(tmp_path / f"{k}.png", size) for k, size in enumerate(sizes)], net))
    assert net.shapes == [[(3, 24, 20)] * 2, [(3, 20, 24)]]


def test_images_are_read_as_they_are_needed(tmp_path, monkeypatch):
    paths = [write(tmp_path / f"{k:03d}.png", (16, 16)) for k in range(5 * BATCH_SIZE)]
    read: list[Path] = []
    decode = inference.decode_image
    monkeypatch.setattr(
        inference, "decode_image", lambda image: read.append(image.path) or decode(image)
    )
    stream = found_in(paths, BrightSpots())
    assert next(stream).image.path == paths[0]
    assert len(read) == BATCH_SIZE
    stream.close()


def test_what_cannot_be_read_is_left_out_or_an_error(tmp_path):
    paths = [write(tmp_path / f"{k}.png", (16, 16), [(k, 1)]) for k in range(3)]
    paths[1].write_bytes(b"nothing")
    broken: list[DataError] = []
    found = list(found_in(paths, BrightSpots(), on_broken=broken.append))
    assert [one.image.path.name for one in found] == ["0.png", "2.png"]
    assert isinstance(found[0].detections, Detections)
    assert [str(paths[1]) in str(error) for error in broken] == [True]
    with pytest.raises(DataError, match=r"1\.png"):
        list(found_in(paths, BrightSpots()))
