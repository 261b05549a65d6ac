"""Training of one classifier: its images, its loss, its stages."""
