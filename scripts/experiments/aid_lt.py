#!/usr/bin/env -S .venv/bin/python
"""AID-LT: 30 scene classes, thinned from 170 to 5 training images each, 50 test images each.

scripts/experiments/aid_lt.py --minutes 30      (TGN_SHARED names the folder with data/aid64.zip)
"""

from common import arguments, pipeline, shared_data

SPLIT = (
    "profile=exponential",
    "largest=170",
    "imbalance=34",
    "class_order=seeded",
    "test_per_class=50",
)

if __name__ == "__main__":
    pipeline(arguments(__doc__, "aid-lt"), shared_data("aid64.zip"), SPLIT)
