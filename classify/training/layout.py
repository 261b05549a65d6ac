"""Names of the files in a classifier's folder; imports nothing heavy."""

from tgn.data.run_layout import CHECKPOINT as CHECKPOINT
from tgn.data.run_layout import CONFUSION_PICTURE as CONFUSION_PICTURE
from tgn.data.run_layout import METRICS as METRICS

SETTINGS = "settings.yaml"
RELIABILITY_PICTURE = "reliability.png"
