"""Recombination: what is left of the source, of which images the rest is, and what is kept."""

import pytest
import torch

from tgn.data.augmentation import SYMMETRIES, dihedral
from tgn.data.images import to_pm1
from tgn.generation.cdtg.recombination import (
    FIELD,
    KEPT,
    KEPT_BYTES,
    NOISE_DIM,
    PARTNERS,
    STEEPNESS,
    Recombination,
    blended,
    masks,
)
from tgn.models.moving_average import averaged

MANY, LONE, PAIR = 0, 1, 2  # classes: of five images, of one, of two
COUNTS = (5, 1, 2)
LABELS = torch.tensor([0, 2, 0, 1, 0, 0, 2, 0])
FILES = [f"{row}.png" for row in range(len(LABELS))]


def kept(size: int = 32, bands: int = 3) -> tuple[Recombination, torch.Tensor]:
    """Return a recombination that keeps images of three classes, and these images."""
    images = torch.randint(0, 256, (len(LABELS), bands, size, size), dtype=torch.uint8)
    network = Recombination(len(COUNTS), bands, size)
    network.keep(images, LABELS, FILES)
    return network, images


def drawn(labels: torch.Tensor, size: int = 32, bands: int = 3):
    """Return sources and noise."""
    sources = torch.rand(len(labels), bands, size, size) * 2 - 1
    return sources, torch.randn(len(labels), NOISE_DIM)


def fields(count: int) -> torch.Tensor:
    return torch.randn(count, FIELD, FIELD)


def identity_of(images: torch.Tensor, known_u8: torch.Tensor) -> list[int]:
    """Return which known image each image is, in whatever view; -1: none."""
    known = to_pm1(known_u8)
    views = torch.stack([dihedral(known, code) for code in range(SYMMETRIES)], 1)  # [N, 8, ...]
    same = (images[:, None, None] - views).abs().amax((3, 4, 5)) < 1e-5  # [B, N, 8]
    found = same.any(2)
    assert (found.sum(1) <= 1).all()
    return [int(row.nonzero()) if row.any() else -1 for row in found]


@pytest.mark.parametrize(("size", "bands"), [(32, 3), (64, 1), (128, 3)])
def test_at_r_0_it_is_the_source_and_at_r_1_nothing_of_it_is_left(size, bands):
    network, _ = kept(size, bands)
    labels = torch.tensor([MANY, LONE, PAIR, MANY])
    sources, noise = drawn(labels, size, bands)
    assert (network(sources, labels, noise, torch.zeros(4)) - sources).abs().max() < 1e-6
    others = [network(each, labels, noise, torch.ones(4)) for each in (sources, -sources)]
    assert torch.equal(others[0], others[1])
    assert others[0].shape == sources.shape
    assert ((others[0] - sources).flatten(1).abs().mean(1) > 0.1).all()


def test_the_more_noise_the_less_of_the_source():
    network, _ = kept()
    labels = torch.zeros(200, dtype=torch.int64)
    sources, noise = drawn(labels)
    far = [
        float((network(sources, labels, noise, torch.full((200,), r)) - sources).square().mean())
        for r in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
    ]
    assert far == sorted(far)
    assert 0.2 * far[-1] < far[2] < 0.4 * far[-1]  # places outside the mask are untouched


@pytest.mark.parametrize("steepness", STEEPNESS)
@pytest.mark.parametrize("size", [32, 128])
def test_masks_lie_in_0_to_1_and_are_exact_at_the_ends(size, steepness):
    for share in (0.0, 1.0):
        found = masks(fields(50), torch.full((50,), share), size, steepness)
        assert found.shape == (50, 1, size, size)
        assert (found == share).all()
    between = masks(fields(50), torch.linspace(0.01, 0.99, 50), size, steepness)
    assert between.min() >= 0
    assert between.max() <= 1


@pytest.mark.parametrize("share", [0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95])
@pytest.mark.parametrize("steepness", STEEPNESS[:2])
def test_masks_have_the_mean_that_was_asked_for(share, steepness):
    found = masks(fields(400), torch.full((400,), share), 64, steepness).mean((1, 2, 3))
    assert float(found.mean()) == pytest.approx(share, abs=0.03)
    assert (found - share).abs().quantile(0.9) < 0.05  # not on average alone


def test_masks_are_parts_with_an_edge_and_not_a_haze():
    found = masks(fields(100), torch.full((100,), 0.5), 64, STEEPNESS[0])
    assert ((found < 0.05) | (found > 0.95)).float().mean() > 0.5
    between_neighbours = (found[..., 1:] - found[..., :-1]).abs().amax((1, 2, 3))
    assert between_neighbours.median() < 0.4  # smooth: no step from 0 to 1


def test_a_field_without_any_spread_gives_finite_masks():
    assert masks(torch.zeros(2, FIELD, FIELD), torch.full((2,), 0.5), 32, 12.0).isfinite().all()


@pytest.mark.parametrize("size", [32, 64, 128])
def test_blended_is_one_of_the_two_at_shares_of_0_and_1(size):
    base, other = torch.rand(2, 3, 2, size, size)
    for share, expected in ((0.0, base), (1.0, other)):
        found = blended(base, other, fields(3), torch.full((3,), share))
        assert (found - expected).abs().max() < 1e-6


def test_blended_of_equal_images_is_that_image():
    base = torch.rand(3, 2, 32, 32)
    found = blended(base, base, fields(3), torch.tensor([0.2, 0.5, 0.9]))
    torch.testing.assert_close(found, base, atol=1e-6, rtol=0)


def test_fine_patterns_change_over_a_narrow_edge_and_light_over_a_wide_one():
    draw, half = fields(200), torch.full((200,), 0.5)
    checkers = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 2.0 - 1
    fine = blended(torch.zeros(200, 1, 64, 64), checkers.expand(200, 1, 64, 64), draw, half)
    torch.testing.assert_close(
        fine / checkers, masks(draw, half, 64, STEEPNESS[0]), atol=1e-5, rtol=0
    )
    light = blended(torch.zeros(200, 1, 64, 64), torch.ones(200, 1, 64, 64), draw, half)
    assert light.std() < 0.7 * (fine * checkers).std()


def test_partners_are_different_images_of_the_class_in_all_views():
    network, images = kept()
    for label, count in enumerate(COUNTS):
        labels, rows = torch.full((300,), label), (label == LABELS).nonzero().flatten().tolist()
        choice, views = torch.randn(2, 300, PARTNERS)
        first, second = network._partners(labels, choice, views)
        one, two = identity_of(first, images), identity_of(second, images)
        assert set(one) == set(two) == set(rows)
        if count > 1:
            assert all(a != b for a, b in zip(one, two, strict=True))
        if label == LONE:
            known = to_pm1(images[rows])
            turned = {
                code
                for code in range(SYMMETRIES)
                for each in first
                if torch.allclose(each, dihedral(known, code)[0], atol=1e-5)
            }
            assert turned == set(range(SYMMETRIES))
        if label == MANY:
            shares = [one.count(row) / 300 for row in rows]
            assert max(shares) < 2 * min(shares)  # one as likely as the other


def test_a_class_of_one_image_is_recombined_with_its_own_views():
    network, images = kept()
    labels = torch.full((20,), LONE)
    sources = to_pm1(images[LABELS == LONE]).expand(20, -1, -1, -1)
    noise = torch.randn(20, NOISE_DIM)
    for r in (0.0, 0.3, 0.7, 1.0):
        found = network(sources, labels, noise, torch.full((20,), r))
        assert found.isfinite().all()
        assert ((found - sources).flatten(1).abs().mean(1) > 0.01).float().mean() > 0.5 or r == 0


def test_at_r_1_the_image_is_of_two_images_of_the_class():
    network, images = kept()
    labels = torch.full((100,), PAIR)
    sources, noise = drawn(labels)
    found = network(sources, labels, noise, torch.ones(100))
    assert set(identity_of(found, images)) == {-1}  # a mixture
    images[LABELS == PAIR] = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1)
    network.keep(images, LABELS, FILES)
    found = network(sources, labels, noise, torch.ones(100))
    assert float(found.mean()) == pytest.approx(0, abs=0.1)  # half and half
    assert ((found.amin((1, 2, 3)) < -0.2) & (found.amax((1, 2, 3)) > 0.2)).float().mean() > 0.9


@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.7, 1.0])
def test_the_files_named_are_those_of_the_images_that_change_an_image(ratio):
    """An image is changed by changes of the images it names, and of no others."""
    network, _ = kept()
    labels = torch.arange(60) % len(COUNTS)
    sources, noise = drawn(labels)
    ratios = torch.full((60,), ratio)
    plain = network(sources, labels, noise, ratios)
    named = network.files_within(labels, noise, ratios)
    assert {len(files) for files in named} == {0.0: {0}, 0.3: {1}, 0.7: {1, 2}, 1.0: {1, 2}}[ratio]
    for file in FILES:
        changed = network.kept.clone()
        row = network.files.index(file)
        network.kept[row] = 255 - changed[row]
        other = network(sources, labels, noise, ratios)
        differs = (other - plain).flatten(1).abs().amax(1) > 1e-3
        assert differs.tolist() == [file in files for files in named]
        network.kept.copy_(changed)


def test_files_that_are_not_known_are_not_named():
    network = Recombination(len(COUNTS), 3, 32)
    labels = torch.zeros(4, dtype=torch.int64)
    assert network.files_within(labels, drawn(labels)[1], torch.ones(4)) == [()] * 4


@pytest.mark.parametrize(("ratio", "share"), [(0.3, 0.0), (0.5, 0.0), (0.7, 0.4), (0.95, 0.9)])
def test_never_more_than_two_images_meet(ratio, share):
    network, _ = kept()
    labels, ratios = torch.full((300,), MANY), torch.full((300,), ratio)
    sources, noise = drawn(labels)
    found = network(sources, labels, noise, ratios)

    def says(other: torch.Tensor) -> torch.Tensor:
        return (other - found).flatten(1).abs().amax(1) > 0.01

    without_source = ~says(network(-sources, labels, noise, ratios))
    assert float(without_source.float().mean()) == pytest.approx(share, abs=0.08)
    changed = noise.clone()
    changed[:, -(FIELD**2) :] *= -1  # where the second of the others is
    assert torch.equal(says(network(sources, labels, changed, ratios)), without_source)


def test_each_image_depends_on_its_own_row_alone_and_on_the_noise_alone():
    network, _ = kept()
    labels, ratio = torch.tensor([MANY, LONE, PAIR, MANY]), torch.tensor([0.0, 0.3, 0.7, 1.0])
    sources, noise = drawn(labels)
    together = network(sources, labels, noise, ratio)
    torch.randn(5)  # of the global generator: it has no say
    assert torch.equal(network(sources, labels, noise, ratio), together)
    for row in range(4):
        own = slice(row, row + 1)
        alone = network(sources[own], labels[own], noise[own], ratio[own])
        torch.testing.assert_close(alone, together[own], atol=1e-6, rtol=0)
    other = network(sources, labels, torch.randn_like(noise), ratio)
    differs = (other - together).flatten(1).abs().amax(1) > 0.01
    assert differs.tolist() == [False, True, True, True]


@pytest.mark.parametrize("extreme", [-20.0, 20.0])
def test_numbers_that_hardly_ever_come_choose_images_too(extreme):
    network, images = kept()
    labels = torch.tensor([MANY, LONE, PAIR])
    noise = torch.full((3, NOISE_DIM), extreme)
    found = network(to_pm1(images[:3]), labels, noise, torch.full((3,), 0.5))
    assert found.isfinite().all()
    choice = torch.full((3, PARTNERS), extreme)
    first, second = network._partners(labels, choice, choice)
    of_class = [int(LABELS[row]) for row in identity_of(first, images)]
    assert of_class == [int(LABELS[row]) for row in identity_of(second, images)] == [0, 1, 2]


def test_only_the_first_images_of_a_class_are_kept_and_counted():
    network = Recombination(2, 1, 32)
    images = torch.arange(KEPT + 6, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 32, 32)
    labels = torch.ones(KEPT + 6, dtype=torch.int64)
    labels[:2] = 0
    network.keep(images, labels, [*map(str, range(KEPT + 6))])
    assert network.per_class == KEPT
    assert network.counts.tolist() == [2, KEPT]
    assert network.kept[:2, 0, 0, 0].tolist() == [0, 1]
    assert network.kept[KEPT:, 0, 0, 0].tolist() == list(range(2, KEPT + 2))
    assert not network.kept[2:KEPT].any()
    assert network.files == ["0", "1", *[""] * (KEPT - 2), *map(str, range(2, KEPT + 2))]


@pytest.mark.parametrize(
    ("classes", "bands", "size"), [(4, 3, 32), (30, 3, 64), (100, 3, 128), (45, 3, 256)]
)
def test_what_is_kept_is_bounded_and_never_less_than_two_a_class(classes, bands, size):
    with torch.device("meta"):
        network = Recombination(classes, bands, size)
    used = network.kept.numel()
    assert network.kept.shape == (classes * network.per_class, bands, size, size)
    assert network.kept.dtype == torch.uint8
    assert 2 <= network.per_class <= KEPT
    assert used <= KEPT_BYTES == 64 * 2**20 or network.per_class == 2
    more = used + classes * bands * size**2
    assert network.per_class == KEPT or more > KEPT_BYTES  # all the room is used


def test_what_is_kept_survives_saving_loading_and_averaging():
    network, _ = kept()
    again = Recombination(len(COUNTS), 3, 32)
    again.load_state_dict(network.state_dict())
    whole = torch.nn.Sequential(torch.nn.Linear(2, 2), network)
    average = averaged(whole, 0.9)
    for _ in range(3):
        average.update_parameters(whole)
    for other in (again, average.module[1]):
        assert other.kept.dtype == torch.uint8
        assert torch.equal(other.kept, network.kept)
        assert torch.equal(other.counts, network.counts)
        assert other.counts.tolist() == list(COUNTS)
