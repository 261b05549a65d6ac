import pytest
import torch

from tgn.generation.cdtg.diff_augment import (
    DiffAugmentation,
    diff_augment,
    sample_diff_augmentation,
)


def augmentation(policy, colour=(0.5, 0.5, 0.5), shift=(0.5, 0.5), hole=(0.5, 0.5), batch=1):
    numbers = (torch.tensor(values).repeat(batch, 1) for values in (colour, shift, hole))
    return DiffAugmentation(policy, *numbers)


def images(batch=4, side=16):
    return torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_same_seed_same_augmentation_and_rows_are_slices():
    first = sample_diff_augmentation(6, torch.Generator().manual_seed(3))
    again = sample_diff_augmentation(6, torch.Generator().manual_seed(3), ("colour",))
    assert torch.equal(first.colour, again.colour)
    whole = diff_augment(images(6), first)
    part = diff_augment(images(6)[2:4], first[2:4])
    assert torch.equal(part, whole[2:4])
    rows = torch.tensor([5, 0])
    assert torch.equal(diff_augment(images(6)[rows], first[rows]), whole[rows])


def test_middle_numbers_leave_colour_alone():
    torch.testing.assert_close(diff_augment(images(1), augmentation(("colour",))), images(1))


def test_brightness_saturation_contrast_of_known_values():
    x = images(1)
    brighter = diff_augment(x, augmentation(("colour",), colour=(0.75, 0.5, 0.5)))
    torch.testing.assert_close(brighter, x + 0.25)
    grey = diff_augment(x, augmentation(("colour",), colour=(0.5, 0.0, 0.5)))
    torch.testing.assert_close(grey, x.mean(1, keepdim=True).expand_as(x))
    flat = diff_augment(x, augmentation(("colour",), colour=(0.5, 0.5, 0.0)))
    torch.testing.assert_close(flat - flat.mean(), (x - x.mean()) / 2, atol=1e-6, rtol=1e-5)


def test_translation_of_known_values():
    x = images(1)
    still = diff_augment(x, augmentation(("translation",)))
    assert torch.equal(still, x)
    # 16 px: up to 2 down and right; the gap is grey.
    moved = diff_augment(x, augmentation(("translation",), shift=(0.999, 0.0)))
    assert torch.equal(moved[:, :, 2:, :-2], x[:, :, :-2, 2:])
    assert moved[:, :, :2].abs().max() == 0
    assert moved[:, :, :, -2:].abs().max() == 0


def test_cutout_of_known_values():
    ones = torch.ones(1, 3, 16, 16)
    middle = diff_augment(ones, augmentation(("cutout",)))
    assert (middle == 0).sum() == 3 * 8 * 8
    assert middle[:, :, 4:12, 4:12].max() == 0
    corner = diff_augment(ones, augmentation(("cutout",), hole=(0.0, 0.0)))
    assert (corner == 0).sum() == 3 * 4 * 4


def test_each_image_gets_its_own_augmentation():
    x = images(1).repeat(16, 1, 1, 1)
    out = diff_augment(
        x, sample_diff_augmentation(16, torch.Generator().manual_seed(0), ("translation",))
    )
    assert len({tuple(row.flatten().tolist()) for row in out}) > 5


def test_gradients_flow():
    x = images(2, side=8).double().requires_grad_()
    numbers = sample_diff_augmentation(2, torch.Generator().manual_seed(1))
    assert torch.autograd.gradcheck(lambda x: diff_augment(x, numbers), x)


def test_no_policy_is_the_identity_and_wrong_input_is_refused():
    numbers = sample_diff_augmentation(4, torch.Generator(), ())
    assert diff_augment(images(), numbers) is not None
    assert torch.equal(diff_augment(images(), numbers), images())
    with pytest.raises(ValueError, match="unknown augmentation"):
        sample_diff_augmentation(4, torch.Generator(), ("color",))
    with pytest.raises(ValueError, match="augmentations"):
        diff_augment(images(3), numbers)
