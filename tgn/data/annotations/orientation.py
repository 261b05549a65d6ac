"""Labels of pictures that carry a note on how to turn them (EXIF orientation)."""

from collections.abc import Callable
from pathlib import Path

from tgn.data.annotations.types import Polygon
from tgn.data.decoding import open_image
from tgn.data.images import image_size
from tgn.data.samples import DAMAGE, orientation_of

# A place (x, y) of the stored picture of W x H pixels, in the picture turned as the tag says. Only
# these exchange width and height, so only these show in the size that a label gives.
TURNS: dict[int, Callable[[float, float, int, int], tuple[float, float]]] = {
    5: lambda x, y, _w, _h: (y, x),
    6: lambda x, y, _w, h: (h - y, x),
    7: lambda x, y, w, h: (h - y, w - x),
    8: lambda x, y, w, _h: (y, w - x),
}


def turn_of_labels(image: Path, labelled: tuple[int, int]) -> int:
    """Return the EXIF orientation by which labels must be turned to lie on the decoded picture.

    Args:
        image: a picture file.
        labelled: its width and height, as the labels give them.

    Returns:
        5 to 8 if pictures are decoded turned and the labels are of the stored one; 0 otherwise.
    """
    try:
        with open_image(image) as picture:
            orientation, stored = orientation_of(picture), picture.size
    except DAMAGE:  # a file that carries no such note
        return 0
    is_turned = stored != image_size(image)
    return orientation if orientation in TURNS and is_turned and stored == labelled else 0


def turn_polygon(polygon: Polygon, orientation: int, turned_size: tuple[int, int]) -> Polygon:
    """Return a polygon of the stored picture on the turned one.

    Args:
        polygon: corners in pixels of the stored picture.
        orientation: 5 to 8.
        turned_size: width and height of the turned picture.
    """
    height, width = turned_size
    return tuple(TURNS[orientation](x, y, width, height) for x, y in polygon)
