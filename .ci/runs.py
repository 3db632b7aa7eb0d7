"""Copies into FOLDER the metadata of the packages that the exporter runs with, as installed here: `runs.py FOLDER`.

Fails where one is installed in another version than constraints.txt pins.
"""

import re
import shutil
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def main(folder: str) -> None:
    """Follow the requirements from pyproject.toml on, with the extras that are asked for and no others."""
    pins = {canonicalize_name(name): pin for name, pin in re.findall("(.+)==(.+)", Path("constraints.txt").read_text())}
    needed = tomllib.loads(Path("pyproject.toml").read_text())["project"]["dependencies"]
    asked = [(Requirement(each), "") for each in needed]
    for requirement, extra in asked:  # grows while it is gone through
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        package = distribution(requirement.name)
        if package.version != pins[canonicalize_name(requirement.name)]:
            sys.exit(f"{requirement.name} {package.version} is installed, which constraints.txt does not pin")
        metadata = next(Path(str(file.locate())).parent for file in package.files or [] if file.name == "METADATA")
        shutil.copytree(metadata, Path(folder) / metadata.name, dirs_exist_ok=True)
        more = [(Requirement(each), extra) for each in package.requires or [] for extra in ("", *requirement.extras)]
        asked += [each for each in more if each not in asked]


if __name__ == "__main__":
    main(*sys.argv[1:])
