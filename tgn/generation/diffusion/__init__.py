"""Diffusion: a denoiser trained from scratch in pixels, with the samplers of diffusers."""
