"""Coverage-guided fuzzing of each target by atheris: `python -m tests.fuzz [TARGET=RUNS …]`.

Each target runs in a process of its own, for so many inputs, or `SECONDS` at most. What broke a promise is left under
.cache/fuzz with the traceback on standard error; the exit status is 1 then, and where time was short for the inputs.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

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
    runs = dict(each.split("=") for each in arguments) or RUNS
    return max(_fuzz(name, int(count)) for name, count in runs.items())


def _fuzz(name: str, runs: int) -> int:
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
    inputs, figures = _figures(done.stdout)
    short = inputs < runs
    print(f"{name}: {figures}{f': SHORT OF {runs:,}' if short else ''}", flush=True)
    if done.returncode:
        print(done.stdout[-5000:], file=sys.stderr)
    return int(done.returncode != 0 or short)


def _figures(log: str) -> tuple[int, str]:
    """Give how many inputs there were by what libFuzzer has said, and sum it up."""
    done = re.search(r"Done (\d+) runs in (\d+) second", log)
    covered = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", log)
    if not done or not covered:
        return 0, "broken off"
    inputs, seconds = int(done[1]), max(int(done[2]), 1)
    first, last = covered[0], covered[-1]
    return inputs, (
        f"{inputs:,} inputs in {seconds} s, {inputs // seconds:,} a second;"
        f" branches covered {first[0]} at the start, {last[0]} at the end, {last[2]} inputs kept"
    )


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
