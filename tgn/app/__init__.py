"""A page in the browser: draw images live, and look through generated ones by hand."""
