"""Asks pip-audit for known vulnerabilities of what constraints.txt pins: `audit.py PIP-AUDIT`.

pip-audit finds nothing where it could ask nobody, and says just that it found nothing. This says how many packages were
looked up. Exit status: 1 where a vulnerability is known, else 0, be it that none is or that nobody could be asked.
"""

import json
import subprocess
import sys

LONGEST = 300  # seconds


def main(pip_audit: str) -> int:
    """Print what is known, by package, and how much was asked; returns the exit status."""
    arguments = ["--requirement=constraints.txt", "--no-deps", "--disable-pip"]
    try:
        command = [pip_audit, *arguments, "--progress-spinner=off", "--format=json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=False)
        packages = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        why, packages = f"no answer after {LONGEST} s", []
    except ValueError:  # no JSON: its last words say why
        why, packages = (done.stderr.strip() or "no answer").splitlines()[-1], []
    else:
        why = next((package["skip_reason"] for package in packages if "skip_reason" in package), "nothing is pinned")

    looked_up = [package for package in packages if "vulns" in package]
    found = [(package, vulnerability) for package in looked_up for vulnerability in package["vulns"]]
    for package, vulnerability in found:
        mended = ", ".join(vulnerability["fix_versions"]) or "no version yet"
        print(f"audit: {package['name']} {package['version']}: {vulnerability['id']}, mended in {mended}")
    if not looked_up:
        print(f"audit: DID NOT RUN: {why}")
    else:
        print(f"audit: known vulnerabilities: {len(found)}; looked up: {len(looked_up)} of {len(packages)}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
