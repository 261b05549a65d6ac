"""What a trained classifier is worth and what it predicts; import and export."""
