"""Images with several labels each: their table, sampling, training and metrics."""
