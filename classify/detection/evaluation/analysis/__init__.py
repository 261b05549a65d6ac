"""What average precision hides: class by class, where detections are wrong, and in which images."""
