"""A page in the browser: generate images live, and review generated ones by hand."""
