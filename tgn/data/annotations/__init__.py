"""Annotations of objects in images: file formats, types, and chips cut from the images."""
