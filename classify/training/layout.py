"""Names of the files in a classifier's folder; imports nothing heavy."""

CHECKPOINT = "classifier.safetensors"
METRICS = "metrics.json"  # written last: its presence marks a finished training
SETTINGS = "settings.yaml"
CONFUSION_PICTURE = "confusion.png"
RELIABILITY_PICTURE = "reliability.png"
