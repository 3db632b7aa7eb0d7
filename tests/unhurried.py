"""`python -m tests.unhurried` is `python -m exporter`, but for a machine that halts, which is no trouble to it."""

from __future__ import annotations

import math
import sys

import exporter.heartbeat
from exporter.cli import main

if __name__ == "__main__":
    exporter.heartbeat.HELD_UP = math.inf
    sys.exit(main())
