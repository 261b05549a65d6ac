"""Diffusion: a denoiser of pixels trained from scratch, with the samplers of diffusers."""
