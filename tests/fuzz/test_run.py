"""`make fuzz` says what it ran, and fails where that is less than it was to run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.fuzz import __main__ as fuzz

if TYPE_CHECKING:
    from pathlib import Path

RAN = {"inputs": 120, "seconds": 2, "covered_at_start": 5, "covered": 6, "kept": 3}
NOTHING = {"inputs": 0}


@pytest.mark.parametrize(
    ("asked", "last", "ended", "status", "said"),
    [
        (120, "Done 120 runs in 2 second(s)", 0, 0, f"{RAN}"),
        (1_000, "Done 120 runs in 2 second(s)", 0, 1, f"{RAN}: SHORT OF 1,000"),
        (120, "Done 120 runs in 2 second(s)", 77, 1, f"{RAN}"),
        (120, "", 0, 1, f"{NOTHING}: SHORT OF 120"),
    ],
)
def test_a_run_says_what_it_ran_and_fails_where_that_is_less_than_it_was_to(  # noqa: PLR0913, PLR0917 - a table
    asked: int,
    last: str,
    ended: int,
    status: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    python = tmp_path / "python"
    log = f"#2 INITED cov: 5 ft: 5 corp: 2/9b\n#120 DONE cov: 6 ft: 7 corp: 3/9b\n{last}"
    python.write_text(f"#!/bin/sh\necho '{log}'\nexit {ended}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: python)
    monkeypatch.setattr(fuzz, "FINDS", tmp_path / "finds")

    assert fuzz.main([f"walk={asked}"]) == status
    assert capsys.readouterr().out == f"walk: {said}\n"
