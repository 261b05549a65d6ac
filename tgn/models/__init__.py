"""Networks that more than one stage uses: classifiers, CLIP, feature extractors and their bank."""
