"""Quality of a generated image set: each measure is an extractor, an accumulator and a formula."""
