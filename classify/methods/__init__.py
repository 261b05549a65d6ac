"""Ways to teach a classifier; one paper, one file."""
