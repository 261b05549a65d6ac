#!/usr/bin/env -S .venv/bin/python
"""AID-LT: 30 scene classes, thinned from 170 to 5 training images each, 50 test images each.

scripts/experiments/aid_lt.py --minutes 30      (TGN_SHARED names the folder with data/aid64.zip)

The split is splits/aid_lt_64.csv; the rules that once drew it are in its comment lines.
"""

from common import SPLITS, arguments, pipeline, shared_data

if __name__ == "__main__":
    given = arguments(__doc__, "aid-lt")
    pipeline(given, shared_data("aid64.zip"), SPLITS / "aid_lt_64.csv")
