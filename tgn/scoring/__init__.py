"""The stages that assess generated images: score and filter."""
