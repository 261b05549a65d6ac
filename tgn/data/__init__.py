"""Images on disk and in batches: data sets, splits, runs, manifests, annotations."""
