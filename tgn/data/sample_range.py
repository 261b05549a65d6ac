"""The range of samples that are no bytes: one for a whole set, so that its images can be compared.

An image of 16-bit or float samples is read as bytes: low and below is 0, high and above is 255.
"""

from tgn.runtime.errors import UserError

SampleRange = tuple[tuple[float, float], ...]
"""(low, high) for all bands, or a pair for each band."""

SENSORS = {
    "unit": (0.0, 1.0),
    "10-bit": (0.0, 1023.0),
    "11-bit": (0.0, 2047.0),  # WorldView-2 and -3
    "12-bit": (0.0, 4095.0),
    "14-bit": (0.0, 16383.0),
    "16-bit": (0.0, 65535.0),
    "sentinel-1": (-25.0, 0.0),  # backscatter in dB, as SEN12MS clips it (arXiv 1906.07789)
    "sentinel-2": (0.0, 10000.0),  # 10,000 is a reflectance of 1
}


def range_called(given: str) -> SampleRange:
    """Return the range that a sensor's name or ``LOW,HIGH`` means, for all bands.

    Raises:
        UserError: for anything else.
    """
    if given in SENSORS:
        return (SENSORS[given],)
    try:
        low, high = (float(number) for number in given.split(","))
    except ValueError:
        low = high = 0.0
    if not -float("inf") < low < high < float("inf"):
        raise UserError(
            f"range got {given!r}, expected LOW,HIGH with LOW < HIGH, or {', '.join(SENSORS)}"
        )
    return ((low, high),)


def described(sample_range: SampleRange) -> str:
    """Return a range for people: ``0..4095``, or one a band."""
    return ", ".join(f"{low:g}..{high:g}" for low, high in sample_range)
