from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

AUDIT = Path(__file__).parents[1] / ".ci" / "audit.py"
KNOWN = {"name": "a", "version": "1.0", "vulns": [{"id": "X-1", "fix_versions": ["1.1"]}]}
CLEAN: dict[str, Any] = {"name": "other", "version": "2.0", "vulns": []}
UNKNOWN = {"name": "third", "skip_reason": "not found: third (3.0)"}


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        ([CLEAN, CLEAN], 0, "audit: known vulnerabilities: 0; looked up: 2 of 2\n"),
        (
            [KNOWN, CLEAN, UNKNOWN],
            1,
            "audit: a 1.0: X-1, mended in 1.1\naudit: known vulnerabilities: 1; looked up: 2 of 3\n",
        ),
        ([UNKNOWN], 0, "audit: DID NOT RUN: not found: third (3.0)\n"),
        (None, 0, "audit: DID NOT RUN: ERROR: cannot connect\n"),
    ],
)
def test_an_audit_says_what_is_known_and_whether_anybody_could_be_asked(
    tmp_path: Path, answer: list[Any] | None, status: int, said: str
) -> None:
    pip_audit = tmp_path / "pip-audit"
    body = "echo ERROR: cannot connect >&2" if answer is None else f"echo '{json.dumps({'dependencies': answer})}'"
    pip_audit.write_text(f"#!/bin/sh\n{body}\n")
    pip_audit.chmod(0o755)

    audit = subprocess.run([sys.executable, AUDIT, pip_audit], capture_output=True, text=True, check=False)

    assert (status, said, "") == (audit.returncode, audit.stdout, audit.stderr)
