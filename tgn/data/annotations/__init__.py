"""Annotations of objects: file formats, types, and chips cut from them."""
