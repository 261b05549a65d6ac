"""Images with boxes: read, cut, sampled, changed."""
