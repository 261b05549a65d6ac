"""The uses of generated images in a training (``generated_use``): one file an idea."""
