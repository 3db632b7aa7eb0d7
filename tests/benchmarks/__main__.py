"""`make bench`: what scrapes and polls cost, over real sockets, beside what one would use otherwise."""

import argparse
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

from tests.benchmarks.figures import HEAD, RESULTS, Row
from tests.benchmarks.polling import growth, start, steady
from tests.benchmarks.scraping import churn, naive, prometheus, scrape
from tests.benchmarks.world import TRUNKS, Bench
from tests.markdown import table
from tests.programs import NotHereError, find

STAGES = {stage.__name__: stage for stage in (scrape, naive, churn, prometheus, start, steady, growth)}
PROGRAMS = {"nginx": "-v", "prometheus": "--version", "prometheus-node-exporter": "--version"}
PROPERTIES = {False: 2_000, True: 200}


def version(name: str, flag: str) -> str | None:
    """The version that a program tells of itself, None where it is not to be had."""
    try:
        told = subprocess.run([find(name), flag], capture_output=True, text=True, check=True, timeout=30)
    except NotHereError:
        return None
    found = re.search(r"version[: ]+(?:nginx/)?([^\s,]+)", told.stdout + told.stderr)
    return found[1] if found else "?"


def conditions(*, quick: bool) -> dict[str, str | int | None]:
    model = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    machine = {"cpu": model[1] if model else platform.machine(), "cores": len(os.sched_getaffinity(0))}
    # A distribution's own is often faster than one that was built by hand.
    own = f" ({platform.freedesktop_os_release()['PRETTY_NAME']})" if sys.base_prefix == "/usr" else ""
    versions = {
        "python": platform.python_version() + own,
        **{name: version(name, flag) for name, flag in PROGRAMS.items()},
    }
    size = {"properties": PROPERTIES[quick], "trunks_each": TRUNKS, "quick": quick}
    return {"date": datetime.now(UTC).date().isoformat(), **machine, **versions, **size}


def rows(stage: str, *, quick: bool) -> Iterator[Row]:
    """Run a stage with a scraper of its own; where it fails, a row says why, and other stages can be run."""
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(1, get_context("spawn")) as scraper:
        try:
            yield from STAGES[stage](Bench(Path(folder), scraper, quick, PROPERTIES[quick]))
        except (RuntimeError, OSError, NotHereError) as error:
            yield Row(stage, f"the rest of {stage}", None, detail=" ".join(str(error).split()))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small and short: does it work?")
    parser.add_argument("--only", metavar="STAGE", nargs="+", choices=STAGES, help=f"of {', '.join(STAGES)}")
    parser.add_argument("--output", metavar="FILE", type=Path, help="JSON; where a whole run writes the README's else")
    options = parser.parse_args()
    output = options.output or (None if options.quick or options.only else RESULTS)
    # A run that is told to end ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    found = []
    print(table(HEAD, []), flush=True)
    for stage in options.only or STAGES:
        for row in rows(stage, quick=options.quick):
            found.append(row)
            print(table(HEAD, [row.cells()]).splitlines()[-1], flush=True)
    if output:
        results = {"conditions": conditions(quick=options.quick), "rows": [asdict(row) for row in found]}
        output.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    return int(any(row.measured is None for row in found))


if __name__ == "__main__":
    sys.exit(main())
