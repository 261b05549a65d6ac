"""Which files and folders are never data."""

SYSTEM_FOLDERS = frozenset(
    {"__macosx", "@eadir", "#recycle", "#snapshot", "$recycle.bin", "system volume information"}
)


def is_hidden(name: str) -> bool:
    """Whether a file or folder is never data: its name begins with ".", or a system made it."""
    return name.startswith(".") or name.lower() in SYSTEM_FOLDERS
