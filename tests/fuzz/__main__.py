"""Coverage-guided fuzzing of each target by atheris: `python -m tests.fuzz [TARGET=RUNS …]`.

Each target runs in a process of its own, for so many inputs, or `SECONDS` at most. What broke a promise is left under
.cache/fuzz with the traceback on standard error; the exit status is 1 then, and where time was short for the inputs.
A good run of all targets writes what SECURITY.md shows.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.__main__ import conditions
from tests.fuzz import RESULTS
from tests.fuzz.targets import seeds, words

RUNS = {"payload": 600_000, "walk": 200_000, "configuration": 200_000}
"""Inputs of each target: a million in all."""
SECONDS = 900
LONGEST_INPUT = 4096
FINDS = Path(".cache/fuzz")


def main(arguments: list[str]) -> int:
    """Fuzz the targets that are named, or all; give the exit status."""
    if importlib.util.find_spec("atheris") is None:
        print("atheris is missing: pip install -e '.[dev,fuzz]'", file=sys.stderr)
        return 1
    runs = {name: int(count) for name, count in (each.split("=") for each in arguments)} or RUNS
    found = [_fuzz(name, count) for name, count in runs.items()]
    if runs == RUNS and all(found):
        on = {key: value for key, value in conditions(quick=False).items() if key in ("date", "cpu", "cores", "python")}
        RESULTS.write_text(json.dumps({"conditions": on, "targets": found}, indent=2) + "\n")
    return int(not all(found))


def _fuzz(name: str, runs: int) -> dict[str, str | int]:
    """Fuzz a target, and give what libFuzzer has said of it; nothing where a promise was broken or time was short."""
    FINDS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        corpus, dictionary = Path(folder, "corpus"), Path(folder, "words")
        corpus.mkdir()
        for file, data in seeds(name).items():
            (corpus / file).write_bytes(data)
        dictionary.write_text("".join(f'"{_escaped(word)}"\n' for word in words(name)))
        options = [
            f"-runs={runs}",
            f"-max_total_time={SECONDS}",
            f"-max_len={LONGEST_INPUT}",
            f"-dict={dictionary}",
            f"-artifact_prefix={FINDS}/{name}-",
            "-timeout=10",
            "-rss_limit_mb=1024",
            "-print_final_stats=1",
        ]
        environment = {**os.environ, "TOKEN": "hunter2", "FUZZ_TARGET": name}
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.guided", *options, corpus],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    figures = _figures(done.stdout)
    short = figures["inputs"] < runs
    print(f"{name}: {figures}{f': SHORT OF {runs:,}' if short else ''}", flush=True)
    if done.returncode:
        print(done.stdout[-5000:], file=sys.stderr)
    return {} if done.returncode or short else {"target": name, **figures}


def _figures(log: str) -> dict[str, int]:
    """Sum up what libFuzzer has said; no input counts where it was broken off."""
    done = re.search(r"Done (\d+) runs in (\d+) second", log)
    covered = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", log)
    if not done or not covered:
        return {"inputs": 0}
    return {
        "inputs": int(done[1]),
        "seconds": int(done[2]),
        "covered_at_start": int(covered[0][0]),
        "covered": int(covered[-1][0]),
        "kept": int(covered[-1][2]),
    }


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
