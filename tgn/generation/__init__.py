"""Generation of images: the stage, and what all generators share."""
