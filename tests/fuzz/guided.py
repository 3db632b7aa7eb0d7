"""One target fuzzed by atheris, in a process that ends with it; the environment's FUZZ_TARGET names it."""

from __future__ import annotations

import os
import sys

import atheris

with atheris.instrument_imports(include=["exporter", "json", "yaml"]):
    from tests.fuzz.targets import TARGETS

if __name__ == "__main__":
    atheris.Setup(sys.argv, TARGETS[os.environ["FUZZ_TARGET"]])
    atheris.Fuzz()
