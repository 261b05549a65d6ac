"""Knows how to write the built-in data: procedurally drawn aerial images of twelve classes."""
