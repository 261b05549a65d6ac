"""The noise schedule, its samplers, and the loss weight of a timestep."""

from typing import Any

from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from torch import Tensor

NUM_TIMESTEPS = 1000
COSINE = {
    "num_train_timesteps": NUM_TIMESTEPS,
    "beta_schedule": "squaredcos_cap_v2",  # Nichol and Dhariwal 2021, arXiv 2102.09672, eq. 17
    "prediction_type": "sample",
}


def ddim() -> Any:
    """Return the sampler of Song et al. 2021 (arXiv 2010.02502), deterministic (eta = 0).

    It also adds noise to training images.
    """
    return DDIMScheduler(**COSINE, clip_sample=False, timestep_spacing="trailing")


def dpm() -> Any:
    """Return DPM-Solver++ of second order (Lu et al. 2022, arXiv 2211.01095)."""
    return DPMSolverMultistepScheduler(
        **COSINE,
        algorithm_type="dpmsolver++",
        timestep_spacing="trailing",
        final_sigmas_type="zero",
    )


def min_snr_weight(alpha_bar: Tensor, gamma: float) -> Tensor:
    """Return the weight of an image's squared error at a timestep.

    Source: Hang et al. 2023 (arXiv 2303.09556), eq. 6. Differs from the paper: the weight is at
    least 1 (Salimans and Ho 2022, arXiv 2202.00512, section 4), since under the strongest noise
    the source's features still determine the image, and that is learned first.

    Args:
        alpha_bar: the image's share of the noisy image's variance, in (0, 1), any shape.
        gamma: >= 1.

    Returns:
        clamp(snr, 1, gamma), of that shape; for the error of a velocity multiply it by
        1 / (snr + 1).
    """
    return (alpha_bar / (1 - alpha_bar)).clamp(1.0, gamma)


def image_from_velocity(noisy: Tensor, velocity: Tensor, alpha_bar: Tensor) -> Tensor:
    """Return the clean image that follows from a velocity: alpha x - sigma v; all broadcast.

    Source: Salimans and Ho 2022 (arXiv 2202.00512), section 4.

    Args:
        noisy: x.
        velocity: v, predicted for x.
        alpha_bar: alpha squared; sigma squared is the rest to 1.
    """
    return alpha_bar.sqrt() * noisy - (1 - alpha_bar).sqrt() * velocity
