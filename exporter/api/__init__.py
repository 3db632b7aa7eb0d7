"""Asking the API: requests, pages, lists, and the one reader of its answers."""
