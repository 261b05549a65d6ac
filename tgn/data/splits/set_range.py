"""The range of a run's 16-bit and float images: given or measured, once, on training images."""

from pathlib import Path

from tgn.data.decoding import SCALED
from tgn.data.measured_range import MEASURED, measured_range
from tgn.data.sample_range import described, range_called
from tgn.data.split import Split
from tgn.runtime.errors import DataError


def with_range(split: Split, run_path: Path, given: str | None) -> Split:
    """Return the split with the range of its images, and a note that says it.

    Args:
        split: of images that were all read.
        run_path: the run's folder.
        given: the setting ``range``; None measures.

    Raises:
        DataError: if a range is given and every image is of bytes, which are taken as they are.
    """
    if SCALED not in split.repairs:
        if given is not None:
            raise DataError(
                f"range got {given!r}, but every image has 8-bit samples, which are taken "
                "as they are; leave it out"
            )
        return split
    how = "given"
    if given is not None:
        found = range_called(given)
    else:
        root = (run_path / split.root).resolve()
        # test images decide only where no other image has such samples
        seen = [root / file for file, _ in split.train]
        others = [root / file for file, _ in (*split.val, *split.test)]
        measured = measured_range(seen) or measured_range(others)
        if measured is None:  # those that were counted are in no part
            return split
        found, how = measured, MEASURED
    note = f"16-bit and float samples: {described(found)} is 0..255 ({how}; --set range=LOW,HIGH)"
    return split.model_copy(update={"sample_range": found, "notes": (*split.notes, note)})
