"""Generation of images: the stage ``tgn generate``, and what all generators share."""
