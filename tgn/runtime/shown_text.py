"""Text of others where people see it: names of classes and files, in a terminal or a picture.

Every console (:mod:`tgn.runtime.console`) escapes what it shows by :func:`for_terminal`, every
chart by :func:`for_chart`, every picture with words by :func:`for_picture`; the pages of HTML are
escaped by jinja2 (``autoescape``).
"""

import functools

LONGEST_LABEL = 28  # characters of a name in a picture
BOX = "\N{WHITE SQUARE}"  # for what matplotlib's font cannot draw


def for_terminal(text: str, lines: bool = True) -> str:
    r"""Return text in which nothing commands a terminal: ESC is shown as ``\x1b``.

    Args:
        text: of any characters; a byte that is not UTF-8 is shown as ``\xff``.
        lines: whether line breaks stay.
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or (lines and one == "\n") else _escaped(one) for one in text
    )


def for_picture(name: str, longest: int = LONGEST_LABEL) -> str:
    """Return a name in one line, cut where it is long."""
    return for_terminal(name[:longest], lines=False)


def for_chart(name: str, longest: int = LONGEST_LABEL) -> str:
    """Return a name for a label of matplotlib: no formula, and no character without a glyph."""
    plain = "".join(one if _has_glyph(one) else BOX for one in for_picture(name, longest))
    if plain.startswith("_"):  # a legend leaves such labels out
        plain = f" {plain}"
    return plain.replace("$", r"\$")


def _escaped(one: str) -> str:
    if 0xDC80 <= ord(one) <= 0xDCFF:  # how Python holds a byte that is not UTF-8
        return f"\\x{ord(one) - 0xDC00:02x}"
    return ascii(one)[1:-1]


@functools.cache
def _has_glyph(one: str) -> bool:
    return ord(one) in _glyphs()


@functools.cache
def _glyphs() -> frozenset[int]:
    from matplotlib import font_manager, ft2font  # not above: --help would wait a second for it

    return frozenset(ft2font.FT2Font(font_manager.findfont("DejaVu Sans")).get_charmap())
