"""What changed, when, and since when it has been so."""
