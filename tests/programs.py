"""Debian's programs that tests use: on the PATH, or where .ci/programs.sh unpacked them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

UNPACKED = Path(__file__).parents[1] / ".cache" / "programs" / "usr" / "bin"


def program(name: str) -> str:
    """The program's path; where it is not to be had, the test says that it did not run, and in CI it fails."""
    found = shutil.which(name) or shutil.which(name, path=str(UNPACKED))
    if found:
        return found
    why = f"{name} is not here: sh .ci/programs.sh {name}"
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)
