"""The metric families, their text, and what a scrape gets."""
