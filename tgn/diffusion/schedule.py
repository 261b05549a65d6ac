"""How noise grows with time, and what a prediction of velocity says of the image."""

from typing import Any

from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from torch import Tensor

TIMES = 1000
COSINE = {
    "num_train_timesteps": TIMES,
    "beta_schedule": "squaredcos_cap_v2",  # Nichol and Dhariwal 2021, arXiv 2102.09672, eq. 17
    "prediction_type": "v_prediction",  # Salimans and Ho 2022, arXiv 2202.00512, section 4
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
    """Weight of the squared velocity error at a time (Hang et al. 2023, arXiv 2303.09556).

    Args:
        signal: share of the image in the noisy one's variance (alpha bar), [B] in (0, 1).
        gamma: > 0.

    Returns:
        clamp(snr, 1, gamma) / (snr + 1), [B]. Differs from the paper: of images the error counts at
        least once (Salimans and Ho 2022, section 4), for under the strongest noise the source's
        features still say what is there, and that is learned first.
    """
    snr = signal / (1 - signal)
    return snr.clamp(1.0, gamma) / (snr + 1)


def image_of(noisy: Tensor, velocity: Tensor, signal: Tensor) -> Tensor:
    """The image that a velocity says is under the noise: alpha x - sigma v; ``signal`` a scalar."""
    return signal.sqrt() * noisy - (1 - signal).sqrt() * velocity


def velocity_to(noisy: Tensor, image: Tensor, signal: Tensor) -> Tensor:
    """The velocity that says a given image is under the noise: (alpha x - image) / sigma."""
    return (signal.sqrt() * noisy - image) / (1 - signal).sqrt().clamp(min=1e-4)
