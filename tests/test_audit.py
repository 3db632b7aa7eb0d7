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
    out = "" if answer is None else json.dumps({"dependencies": answer})

    assert (status, said, "") == audited(tmp_path, out)


@pytest.mark.parametrize(
    "out",
    [
        "no JSON",
        "[]",
        "{}",
        '{"dependencies": null}',
        '{"dependencies": [7]}',
        '{"dependencies": [{"name": "a", "version": "1.0", "vulns": [{"id": "X-1"}]}]}',
    ],
)
def test_an_answer_that_is_not_understood_is_no_vulnerability_and_no_success(tmp_path: Path, out: str) -> None:
    status, said, errors = audited(tmp_path, out)

    assert (status, errors) == (2, "")
    assert said.startswith("audit: DID NOT WORK: what pip-audit says is not understood: ")
    assert said.endswith("; ERROR: cannot connect\n")


def test_without_pip_audit_there_is_no_success(tmp_path: Path) -> None:
    status, said, errors = run(tmp_path / "not-here")

    assert (status, errors) == (2, "")
    assert said.startswith("audit: DID NOT WORK: [Errno 2] ")


def audited(folder: Path, out: str) -> tuple[int, str, str]:
    """Run the audit with a pip-audit that says this; give its exit status, standard output and standard error."""
    pip_audit = folder / "pip-audit"
    pip_audit.write_text(f"#!/bin/sh\necho ERROR: cannot connect >&2\nprintf %s '{out}'\n")
    pip_audit.chmod(0o755)
    return run(pip_audit)


def run(pip_audit: Path) -> tuple[int, str, str]:
    audit = subprocess.run([sys.executable, AUDIT, pip_audit], capture_output=True, text=True, check=False)
    return audit.returncode, audit.stdout, audit.stderr
