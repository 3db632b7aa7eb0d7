"""The long forms of the tests of faults and load."""

from pathlib import Path

RESULTS = Path(__file__).with_name("results.json")
