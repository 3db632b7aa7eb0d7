"""What holds for all tests."""

from hypothesis import settings

# Limits of time belong in benchmarks: a machine may be busy.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
