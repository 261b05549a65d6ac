"""Labelled outlines: overlap with boxes against shapely, boxes that fit, AP by DOTA's rule."""

import math
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from shapely.geometry import Polygon

from classify.detection.average_precision import (
    IOU_THRESHOLDS,
    Detections,
    GroundTruth,
    average_precision,
)
from classify.detection.boxes.polygons import fit_rectangles, paired_polygon_iou, polygon_iou
from classify.detection.boxes.rotated import paired_iou, rotated_iou, to_corners
from classify.detection.data.dataset import cut_into_tiles, make_dataset
from tgn.data.annotations.readers import read_annotations


def boxes(count: int, seed: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    unit = torch.rand(count, 5, generator=draw, dtype=torch.float64)
    return unit * torch.tensor([60, 60, 30, 30, 8]) + torch.tensor([0, 0, 1, 1, -4])


def quadrilaterals(count: int, seed: int, least: float = 0.05) -> torch.Tensor:
    """Corners round a centre at any distance: convex or not, either way round; none crosses."""
    draw = torch.Generator().manual_seed(seed)
    unit = torch.rand(count, 4, 2, generator=draw, dtype=torch.float64)
    angle = (torch.arange(4) + unit[..., 0]) * math.pi / 2
    corner = torch.stack((angle.cos(), angle.sin()), dim=2)
    found = (least + (1 - least) * unit[..., 1:]) * 20 * corner
    found += torch.rand(count, 1, 2, generator=draw, dtype=torch.float64) * 60
    return torch.cat((found[::2], found[1::2].flip(1)))


def shapely_iou(first: torch.Tensor, second: torch.Tensor) -> float:
    a, b = Polygon(first.numpy()), Polygon(second.numpy())
    shared = a.intersection(b).area
    return shared / (a.area + b.area - shared)


def test_the_overlap_of_boxes_and_polygons_is_that_of_shapely():
    given, outlines = boxes(40, 0), quadrilaterals(40, 1)
    given[:10, 4] = torch.arange(10) * math.pi / 2  # edges along the axes, and whole pixels
    given[:10, :4], outlines[:10] = given[:10, :4].round(), outlines[:10].round()
    outlines[10:15] = to_corners(given)[10:15]  # the same rectangles
    outlines[15:20, 3] = outlines[15:20, 2]  # triangles
    sound = [k for k, one in enumerate(outlines) if Polygon(one.numpy()).is_valid]
    assert len(sound) > 35
    corners = to_corners(given)
    expected = [[shapely_iou(a, outlines[k]) for k in sound] for a in corners]
    found = polygon_iou(given, outlines[sound])
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-12)
    assert (found > 0).double().mean() > 0.2
    pairs = paired_polygon_iou(given[:, None], outlines[sound])
    torch.testing.assert_close(found, pairs)


def test_rectangles_as_polygons_overlap_as_boxes_do():
    first, second = boxes(30, 2), boxes(50, 3)
    expected = rotated_iou(first, second)
    torch.testing.assert_close(polygon_iou(first, to_corners(second)), expected, rtol=0, atol=1e-9)
    assert polygon_iou(first[:0], to_corners(second)).shape == (0, 50)
    assert polygon_iou(first.float(), to_corners(second)[:0]).shape == (30, 0)
    flat = torch.tensor([[5.0, 5.0, 0.0, 10.0, 0.3]])
    assert polygon_iou(flat, to_corners(flat)).item() == 0


def test_a_box_fits_the_long_edges_of_a_label_not_the_first_edge():
    ship = torch.tensor([[[0.0, 0.0], [1.0, 7.0], [60.0, 16.0], [61.0, 5.0]]]).double()
    for outline in (ship, ship.roll(1, dims=1), ship.flip(1)):
        (box,) = fit_rectangles(outline)
        assert box[4].item() == pytest.approx(math.atan2(5, 61), abs=0.08)
        assert paired_polygon_iou(box[None], outline).item() > 0.85
    exact = boxes(50, 4)
    ones = torch.ones(50).double()
    corners = to_corners(exact)
    for outline in (corners, corners.flip(1), corners.roll(1, dims=1)):
        torch.testing.assert_close(paired_iou(fit_rectangles(outline), exact), ones)
    assert fit_rectangles(ship[:0]).shape == (0, 5)


@pytest.mark.skipif("TGN_SHARED" not in os.environ, reason="needs real data: set TGN_SHARED")
def test_boxes_fit_the_labels_of_dota(tmp_path):
    with zipfile.ZipFile(Path(os.environ["TGN_SHARED"]) / "data" / "dota_tiny.zip") as archive:
        archive.extractall(tmp_path)
    overlaps, problems = [], []
    for part in ("train", "val"):
        found = read_annotations(tmp_path / part / "labelTxt", tmp_path / part / "images")
        problems += found.problems
        for image in make_dataset(found, rotated=True).images:
            overlaps.append(paired_polygon_iou(image.boxes, image.polygons))
    fit = torch.cat(overlaps)
    assert len(fit) == 733
    assert fit.mean() >= 0.974
    assert fit.min() >= 0.72
    assert (fit < 0.9).double().mean() <= 0.007
    (crossing,) = [one for one in problems if "crosses itself" in one]
    assert "P0004__1__0___0.txt line 4: " in crossing


def dota_ap(truths: list, detections: list, label: int, threshold: float) -> float:
    """AP of a class by the rule of DOTA's evaluation code (task 1), written from its description.

    By descending score, a detection takes the outline that it overlaps most in its image. Above
    the threshold it is true if the outline is free, false if taken, and no case if difficult.
    """
    rows = sorted(
        (-float(score), image, corners)
        for image, one in enumerate(detections)
        for score, corners, kind in zip(
            one.scores, to_corners(one.boxes).tolist(), one.labels.tolist(), strict=True
        )
        if kind == label
    )
    taken, true, false = set(), [], []
    for _, image, corners in rows:
        there = [k for k, kind in enumerate(truths[image].labels.tolist()) if kind == label]
        outlines = truths[image].polygons
        each = [(shapely_iou(torch.tensor(corners), outlines[k]), k) for k in there]
        overlap, best = max(each, default=(-1.0, -1))
        hits = overlap > threshold
        is_difficult = hits and bool(truths[image].difficult[best])
        true.append(hits and not is_difficult and (image, best) not in taken)
        false.append(not true[-1] and not is_difficult)
        taken |= {(image, best)} if true[-1] else set()
    count = sum(int((~one.difficult & (one.labels == label)).sum()) for one in truths)
    hits, misses = np.cumsum(true), np.cumsum(false)
    recall, precision = hits / count, hits / np.maximum(hits + misses, 1e-16)
    points = np.arange(0.0, 1.1, 0.1)
    return float(np.mean([precision[recall >= point].max(initial=0) for point in points]))


@pytest.mark.parametrize("seed", range(3))
def test_ap_on_polygons_is_that_of_dotas_rule(seed):
    draw = torch.Generator().manual_seed(seed)
    truths, detections = [], []
    for image in range(4):
        outlines = quadrilaterals(16, 10 * seed + image, least=0.4)
        fitted = fit_rectangles(outlines)
        shift = torch.randn(16, 5, generator=draw).double() * torch.tensor([1, 1, 1, 1, 0.05])
        found = torch.cat((fitted, fitted[::2] + shift[::2], boxes(6, image)))  # doubled, and wrong
        found[:16] += 0.3 * shift
        labels = torch.arange(16) % 2
        kinds = torch.cat((labels, labels[::2], torch.arange(6) % 2))
        difficult = torch.rand(16, generator=draw) < 0.2
        truths.append(GroundTruth(fitted, labels, difficult, difficult & False, outlines))
        scores = torch.rand(len(found), generator=draw, dtype=torch.float64)
        detections.append(Detections(found, kinds, scores))
    ours = average_precision(truths, detections, 2, "voc07")
    expected = [[dota_ap(truths, detections, k, t) for t in IOU_THRESHOLDS] for k in range(2)]
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6)
    assert 0.1 < ours.mean() < 0.9
    by_boxes = [GroundTruth(*(one.boxes, one.labels, one.difficult, one.crowd)) for one in truths]
    assert (average_precision(by_boxes, detections, 2, "voc07") != ours).any()


def test_tiles_keep_outlines_beside_boxes(tmp_path):
    (tmp_path / "labels").mkdir()
    Image.new("RGB", (200, 100)).save(tmp_path / "a.png")
    rows = "120 20 160 22 161 40 119 41 ship 0\n20 20 60 22 61 40 19 41 ship 0\n"
    (tmp_path / "labels" / "a.txt").write_text(rows)
    data = make_dataset(read_annotations(tmp_path / "labels", tmp_path), rotated=True)
    assert data.images[0].polygons[0, 0].tolist() == [120, 20]
    left, right = cut_into_tiles(data, 100, 0.0).images
    assert right.polygons.tolist() == [[[20, 20], [60, 22], [61, 40], [19, 41]]]
    torch.testing.assert_close(left.polygons[0], right.polygons[0])
    torch.testing.assert_close(left.boxes, right.boxes)
