"""What nobody expects, fed to what reads answers and configurations."""

from pathlib import Path

RESULTS = Path(__file__).with_name("results.json")
