"""Drawing by diffusion: from scratch in pixels, on the networks and samplers of diffusers."""
