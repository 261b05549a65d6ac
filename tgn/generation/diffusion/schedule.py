"""How noise grows with time, and what a time's error weighs."""

from typing import Any

from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from torch import Tensor

TIMES = 1000
COSINE = {
    "num_train_timesteps": TIMES,
    "beta_schedule": "squaredcos_cap_v2",  # Nichol and Dhariwal 2021, arXiv 2102.09672, eq. 17
    "prediction_type": "sample",
}


def ddim() -> Any:
    """The sampler of Song et al. 2021 (arXiv 2010.02502), without fresh noise.

    It also knows how training images are made noisy.
    """
    return DDIMScheduler(**COSINE, clip_sample=False, timestep_spacing="trailing")


def dpm() -> Any:
    """DPM-Solver++ of second order (Lu et al. 2022, arXiv 2211.01095)."""
    return DPMSolverMultistepScheduler(
        **COSINE,
        algorithm_type="dpmsolver++",
        timestep_spacing="trailing",
        final_sigmas_type="zero",
    )


def min_snr_weight(signal: Tensor, gamma: float) -> Tensor:
    """Weight of an image's squared error at a time (Hang et al. 2023, arXiv 2303.09556, eq. 6).

    Args:
        signal: share of the image in the noisy one's variance (alpha bar), [B] in (0, 1).
        gamma: >= 1.

    Returns:
        clamp(snr, 1, gamma), [B]; of a velocity's error the same is the weight times 1 / (snr + 1).
        Differs from the paper: an image's error counts at least once (Salimans and Ho 2022,
        section 4), for under the strongest noise the source's features still say what is there,
        and that is learned first.
    """
    return (signal / (1 - signal)).clamp(1.0, gamma)


def image_of(noisy: Tensor, velocity: Tensor, signal: Tensor) -> Tensor:
    """The image that a velocity says is under the noise: alpha x - sigma v; all broadcast.

    Source: Salimans and Ho 2022 (arXiv 2202.00512), section 4.
    """
    return signal.sqrt() * noisy - (1 - signal).sqrt() * velocity
