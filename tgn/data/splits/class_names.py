"""Names of classes for people and prompts: published ones, those of a file, or the folder's."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tgn.runtime.errors import DataError, NotFoundError, UserError
from tgn.runtime.regular_files import SETTINGS_BYTES, read_regular

NAMES_FILE = "names.json"  # in the data folder
JSON = ".json"

# Published sets number their class folders; the place of a name here is its folder's number.
PUBLISHED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        # Li et al. 2020, arXiv 1909.00133: the alphabetical order of the annotations' names. That
        # TGN numbers its folders so is inferred: the head classes typed into its KMDN/Distill.py
        # (13, 18, 15, 0, 16, 2, 11, 19) are by this order the first eight of its list of names.
        "dior": (
            "airplane",
            "airport",
            "baseball field",
            "basketball court",
            "bridge",
            "chimney",
            "dam",
            "expressway service area",
            "expressway toll station",
            "golf field",
            "ground track field",
            "harbor",
            "overpass",
            "ship",
            "stadium",
            "storage tank",
            "tennis court",
            "train station",
            "vehicle",
            "windmill",
        ),
        # Xia et al. 2018, arXiv 1711.10398, v1.0: alphabetical. That T2FTS and TGN number their
        # chips so is inferred from their training counts a class, which are DOTA's own in this
        # order (415 baseball diamonds, 26,126 small vehicles, 5,029 storage tanks). The order of
        # DOTA's own tools, from plane to helicopter, is another.
        "dota": (
            "baseball diamond",
            "basketball court",
            "bridge",
            "ground track field",
            "harbor",
            "helicopter",
            "large vehicle",
            "plane",
            "roundabout",
            "ship",
            "small vehicle",
            "soccer ball field",
            "storage tank",
            "swimming pool",
            "tennis court",
        ),
        # Zhang et al. 2020, doi 10.1109/JSTARS.2020.2996950: the table of ship-IDs in the data
        # set's own README, where the subfolder's name is the ID.
        "fgsc-23": (
            "non-ship",
            "aircraft carrier",  # "air carrier" there
            "destroyer",
            "landing craft",
            "frigate",
            "amphibious transport dock",
            "cruiser",
            "Tarawa-class amphibious assault ship",
            "amphibious assault ship",
            "command ship",
            "submarine",
            "medical ship",
            "combat boat",
            "auxiliary ship",
            "container ship",
            "car carrier",
            "hovercraft",
            "bulk carrier",
            "oil tanker",
            "fishing boat",
            "passenger ship",
            "liquefied gas ship",
            "barge",
        ),
    }
)


def check_names(given: str | None) -> str | None:
    """Return what ``names`` was set to, if it can be a published map or a file.

    Raises:
        UserError: if it is neither.
    """
    if given is not None and given not in PUBLISHED and not given.endswith(JSON):
        raise UserError(
            f"names got {given!r}, expected one of {', '.join(PUBLISHED)}, or a {JSON} file of "
            "class folders and names"
        )
    return given


def class_names(root: Path, folders: Sequence[str], given: str | None = None) -> dict[str, str]:
    """Return the name for people of each class folder.

    Args:
        root: the data folder, whose ``names.json`` is taken where nothing is given.
        folders: of the classes.
        given: a published map, or a file like ``names.json``: an object, class folder to name.

    Returns:
        Folder -> name; the folder's own, with spaces for ``_``, where no other is known.

    Raises:
        NotFoundError: if the file is not there.
        DataError: if the file is no such object, or names given do not fit the folders.
    """
    if given is not None and given in PUBLISHED:
        return _published(given, folders)
    file, known = Path(given) if given else root / NAMES_FILE, dict[str, str]()
    if given and not file.is_file():
        raise NotFoundError(f"no file {file}; names={given} is an object, class folder to name")
    if file.is_file():
        known = _read(file)
    if given and not any(folder in known for folder in folders):
        raise DataError(
            f"{file} names none of the class folders, which are {', '.join(folders[:8])}"
        )
    return {folder: known.get(folder, folder.replace("_", " ")) for folder in folders}


def _published(given: str, folders: Sequence[str]) -> dict[str, str]:
    names = PUBLISHED[given]
    numbers = {str(number): name for number, name in enumerate(names)}
    if other := [folder for folder in folders if folder not in numbers]:
        raise DataError(
            f"names={given} is for class folders 0 to {len(names) - 1}, the data has {other[0]!r}; "
            f"leave it out, or write a {NAMES_FILE}"
        )
    return {folder: numbers[folder] for folder in folders}


def _read(file: Path) -> dict[str, str]:
    content = read_regular(file, SETTINGS_BYTES)
    try:
        found: Any = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is not JSON: {error}") from None
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise DataError(f'{file}: expected an object such as {{"0": "airport"}}')
    return found
