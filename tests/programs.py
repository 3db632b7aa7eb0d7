"""Programs and schemas that tests and benchmarks use: where .ci/programs.sh put them, or on the PATH."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

CACHE = Path(__file__).parents[1] / ".cache"
UNPACKED = CACHE / "programs" / "usr"
# An ordinary user's PATH leaves out where servers are.
PLACES = os.pathsep.join((f"{UNPACKED}/bin", f"{UNPACKED}/sbin", os.environ.get("PATH", os.defpath), "/usr/sbin"))


class NotHereError(LookupError):
    """A program or schema is not to be had; the text says what would bring it."""


def find(name: str) -> str:
    """The program's path; raises `NotHereError` where it is not to be had."""
    found = shutil.which(name, path=PLACES)
    if found is None:
        raise NotHereError(f"{name} is not here: sh .ci/programs.sh {name}")
    return found


def program(name: str) -> str:
    """The program's path; where it is not to be had, the test says that it did not run, and in CI it fails."""
    try:
        return find(name)
    except NotHereError as error:
        not_run(str(error))


def library(name: str) -> Path:
    """The path of one of Debian's shared libraries, unpacked; where it is not to be had, as `program`."""
    found = next((UNPACKED / "lib").glob(f"*/**/{name}"), None)
    if found is None:
        not_run(f"{name} is not here: sh .ci/programs.sh libfaketime libnss-wrapper")
    return found


def schema(name: str) -> Path:
    """The path of a file among the schemas, such as `compose-spec.json`; where it is not to be had, as `program`."""
    found = CACHE / "schemas" / name
    if not found.exists():
        not_run(f"{name} is not here: sh .ci/programs.sh schemas")
    return found


def not_run(why: str) -> NoReturn:
    """Say that the test did not run; in CI it fails."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)
