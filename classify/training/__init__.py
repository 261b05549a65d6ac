"""Training of one classifier: settings, images, sampling, loss, phases."""
