"""When what is polled, and what becomes of it."""
