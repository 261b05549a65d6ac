"""The built-in data: procedurally drawn aerial images of twelve classes."""
