"""Checksums within the files of a run: a byte that changes on the disk is noticed on reading."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

CHECKSUM = "checksum"
DIGITS = 16  # hexadecimal: 64 bits


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping with a checksum of all its entries, to be written as JSON or YAML."""
    return {**content, CHECKSUM: _checksum(content)}


def unsealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what :func:`sealed` was given. What has no checksum is of an older version.

    Raises:
        ValueError: if an entry is not what was written, be it the name of the checksum.
    """
    entries = dict(content)
    name, found = entries.popitem() if entries else ("", None)
    if CHECKSUM not in content and found != _checksum(entries):
        return dict(content)
    if name != CHECKSUM or found != _checksum(entries):
        raise ValueError("its checksum is that of another content")
    return entries


def _checksum(content: Mapping[str, Any]) -> str:
    """Return the first digits of the SHA-256 of the entries as compact JSON, in their order."""
    text = json.dumps(content, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
