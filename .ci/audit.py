"""Asks pip-audit for known vulnerabilities of what constraints.txt pins: `audit.py PIP-AUDIT`.

pip-audit finds nothing where it could ask nobody, and says just that it found nothing. This says how many packages were
looked up. Exit status: 1 where a vulnerability is known; 2 where pip-audit cannot be run or understood; else 0, be it
that none is known or that nobody could be asked.
"""

import subprocess
import sys

import msgspec

LONGEST = 300  # seconds


class Vulnerability(msgspec.Struct):
    """A vulnerability as pip-audit tells of it, with the versions that mend it."""

    id: str
    fix_versions: list[str]


class Package(msgspec.Struct):
    """A package that pip-audit has looked up, or the reason why it has not."""

    name: str
    version: str = ""
    vulns: list[Vulnerability] | None = None
    skip_reason: str = "no reason is given"


class Answer(msgspec.Struct):
    """What pip-audit prints as JSON."""

    dependencies: list[Package]


def main(pip_audit: str) -> int:
    """Print what is known, by package, and how much was asked; returns the exit status."""
    arguments = ["--requirement=constraints.txt", "--no-deps", "--disable-pip"]
    command = [pip_audit, *arguments, "--progress-spinner=off", "--format=json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=False)
    except subprocess.TimeoutExpired:
        return _ends(0, f"DID NOT RUN: no answer after {LONGEST} s")
    except OSError as error:
        return _ends(2, f"DID NOT WORK: {error}")
    last_words = (done.stderr.strip() or "no answer").splitlines()[-1]
    if not done.stdout.strip():
        return _ends(0, f"DID NOT RUN: {last_words}")
    try:
        packages = msgspec.json.decode(done.stdout, type=Answer).dependencies
    except msgspec.DecodeError as error:
        return _ends(2, f"DID NOT WORK: what pip-audit says is not understood: {error}; {last_words}")

    looked_up = [package for package in packages if package.vulns is not None]
    if not looked_up:
        return _ends(0, f"DID NOT RUN: {next((each.skip_reason for each in packages), 'nothing is pinned')}")
    found = [(package, vulnerability) for package in looked_up for vulnerability in package.vulns or ()]
    for package, vulnerability in found:
        mended = ", ".join(vulnerability.fix_versions) or "no version yet"
        print(f"audit: {package.name} {package.version}: {vulnerability.id}, mended in {mended}")
    return _ends(
        int(bool(found)), f"known vulnerabilities: {len(found)}; looked up: {len(looked_up)} of {len(packages)}"
    )


def _ends(status: int, verdict: str) -> int:
    print(f"audit: {verdict}")
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
