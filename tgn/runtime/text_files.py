"""Text files as people have them: UTF-8 with or without a byte order mark, UTF-16 or Latin-1."""

import codecs
from pathlib import Path
from typing import Any

import yaml

from tgn.runtime.errors import DataError
from tgn.runtime.explanations import reason
from tgn.runtime.regular_files import SETTINGS_BYTES, TABLE_BYTES, read_regular
from tgn.runtime.yaml_text import parse_yaml

UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text(file: Path, most: int = TABLE_BYTES) -> tuple[str, str]:
    """Return a file's text, and how it was encoded if that is not UTF-8 ("" if it is).

    UTF-16 is known by its byte order mark. What is no UTF-8 either is read as Latin-1 in the
    variant of Windows, which knows every byte of Western European text.

    Args:
        file: its path.
        most: bytes that it may have.

    Raises:
        DataError: if it is no regular file, or larger.
    """
    data = read_regular(file, most)
    if data.startswith(UTF16):
        return data.decode("utf-16", "replace"), "UTF-16"
    try:
        return data.decode("utf-8-sig"), ""
    except UnicodeDecodeError:
        pass
    try:
        return data.decode("cp1252"), "Latin-1"
    except UnicodeDecodeError:  # five bytes have no meaning there
        return data.decode("latin-1"), "Latin-1"


def read_yaml(file: Path) -> Any:
    """Read a YAML file, as :func:`tgn.runtime.yaml_text.parse_yaml` reads text.

    Raises:
        DataError: if it is not YAML, no regular file or larger than settings are; says in which
            encoding it was read where that is not UTF-8.
    """
    text, encoding = read_text(file, SETTINGS_BYTES)
    try:
        return parse_yaml(text)
    except yaml.YAMLError as error:
        read_as = f" (read as {encoding}; save it as UTF-8 if it is none)" if encoding else ""
        raise DataError(f"{file} is {reason(error)}{read_as}") from None
