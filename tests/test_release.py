from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.metadata import Metadata
from packaging.utils import canonicalize_name

import exporter
from tests.programs import program

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
RELEASE = f"siptrunk_exporter-{exporter.__version__}"
WHEEL = f"{RELEASE}-py3-none-any.whl"
# A package that the exporter brings onto a machine is a decision: here it is written down once more.
RUNS = """
aiohappyeyeballs aiohttp aiosignal anyio attrs bcrypt certifi frozenlist h11 httpcore httpx idna isal msgspec
multidict prometheus-client propcache pyyaml typing-extensions yarl
""".split()  # noqa: SIM905


def committed(*where: str) -> list[str]:
    """The names of the files that git knows below these folders, or all."""
    listed = subprocess.check_output([program("git"), "ls-files", "-z", *where], cwd=ROOT, text=True)
    return listed.split("\0")[:-1]


@pytest.fixture(scope="session")
def builds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folders of two releases: the same files, but folders, ages, rights and time zones differ."""
    folder = tmp_path_factory.mktemp("builds")
    one, another = folder / "one", folder / "another" / "and" / "deeper"
    builders = [builder(one, 0o022, 10**9, "UTC"), builder(another, 0o077, 15 * 10**8, "Asia/Tokyo")]
    assert [each.wait() for each in builders] == [0, 0]
    return one / "dist", another / "dist"


def builder(tree: Path, umask: int, modified: int, zone: str) -> subprocess.Popen[bytes]:
    """Copies and commits the files, with this Unix time as their age in seconds, and begins to build them."""
    for name in committed():
        copy = tree / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy, follow_symlinks=False)
        if not copy.is_symlink():
            copy.chmod(0o666 & ~umask)
            os.utime(copy, (modified, modified))
    who = {f"GIT_{role}_{what}": "somebody" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = os.environ | who | {"GIT_COMMITTER_DATE": "@1700000000 +0000", "TZ": zone}
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message=all"]):
        subprocess.run([program("git"), *command], cwd=tree, env=environment, check=True)
    (tree / "exporter" / "left_over.py").touch()  # what is not committed is not released
    return subprocess.Popen([program("sh"), ".ci/dist.sh", BIN], cwd=tree, env=environment, umask=umask)


def test_a_release_is_the_same_bytes_whatever_the_folder_rights_file_times_and_time_zone(
    builds: tuple[Path, Path],
) -> None:
    one, another = ({file.name: (file.stat().st_mode, file.read_bytes()) for file in each.iterdir()} for each in builds)

    assert {WHEEL, f"{RELEASE}.tar.gz", f"{RELEASE}.cdx.json", "SHA256SUMS"} == set(one)
    assert one == another


def test_the_checksums_are_those_of_the_files(builds: tuple[Path, Path]) -> None:
    lines = (builds[0] / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in map(str.split, lines)}

    assert sums == {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in builds[0].iterdir()
        if file.name != "SHA256SUMS"
    }


def test_the_sdist_holds_what_the_wheel_is_made_from_and_what_its_reader_needs(
    builds: tuple[Path, Path], tmp_path: Path
) -> None:
    package = committed("exporter")
    beside = [
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "SECURITY.md",
        "constraints.txt",
        "exporter.yaml",
        "pyproject.toml",
    ]
    with tarfile.open(builds[0] / f"{RELEASE}.tar.gz") as sdist:
        assert {f"{RELEASE}/{name}" for name in [*package, *beside, "PKG-INFO"]} == set(sdist.getnames())
        for member in sdist.getmembers():
            content = sdist.extractfile(member)
            assert content
            file = tmp_path / member.name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.read())
    build = "from flit_core.buildapi import build_wheel; print(build_wheel('.'))"

    subprocess.run(
        [sys.executable, "-c", build], cwd=tmp_path / RELEASE, env={"SOURCE_DATE_EPOCH": "1700000000"}, check=True
    )

    assert (tmp_path / RELEASE / WHEEL).read_bytes() == (builds[0] / WHEEL).read_bytes()


def test_the_wheel_has_valid_metadata_and_the_package_alone(builds: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(builds[0] / WHEEL) as wheel:
        metadata = Metadata.from_email(wheel.read(f"{RELEASE}.dist-info/METADATA"), validate=True)
        tops = {name.split("/")[0] for name in wheel.namelist()}

    assert {"exporter", f"{RELEASE}.dist-info"} == tops
    assert ("siptrunk-exporter", exporter.__version__, "MIT") == (
        metadata.name,
        str(metadata.version),
        metadata.license_expression,
    )
    assert str(metadata.description).strip() == (ROOT / "README.md").read_text().strip()


def test_the_bill_of_materials_lists_what_runs_as_pinned_each_with_its_licence(builds: tuple[Path, Path]) -> None:
    bill: dict[str, Any] = json.loads((builds[0] / f"{RELEASE}.cdx.json").read_text())
    pins = dict(re.findall("(.+)==(.+)", (ROOT / "constraints.txt").read_text()))
    pinned = {str(canonicalize_name(name)): version for name, version in pins.items()}

    assert (bill["metadata"]["component"]["name"], bill["metadata"]["component"]["version"]) == (
        "siptrunk-exporter",
        exporter.__version__,
    )
    assert {f"pkg:pypi/{name}@{pinned[name]}" for name in RUNS} == {each["purl"] for each in bill["components"]}
    assert [each["name"] for each in bill["components"] if not each.get("licenses")] == []
    assert "serialNumber" not in bill


def test_every_test_that_the_threat_model_names_exists() -> None:
    named = set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "SECURITY.md").read_text()))

    assert named
    for file, test in sorted(named):
        tree = ast.parse((ROOT / file).read_text())
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert test in functions, file
