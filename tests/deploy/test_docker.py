"""The image's and compose's files: against their schema, and what they start, started here without a container.

No container engine is needed, so none proves that the image builds: its RUN instructions are executed as they stand,
with other paths, and what the first made is run, also on a file system that can only be read.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import asynccontextmanager
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from exporter import __version__
from exporter.cli import DEFAULT_PORT, parser
from tests.programs import not_run, program, schema
from tests.running import finished
from tests.servers import read_until, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

ROOT = Path(__file__).parents[2]
HERE = ROOT / "deploy" / "docker"
VENV = "/opt/siptrunk-exporter"


def composed(name: str) -> Any:  # noqa: ANN401 - any YAML
    return yaml.safe_load((HERE / name).read_text())


SERVICES: dict[str, dict[str, Any]] = composed("compose.yaml")["services"]
ACCOUNT: dict[str, Any] = composed("account.yaml")["services"]["exporter"]
every_service = pytest.mark.parametrize("service", SERVICES)


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """What a service mounts from the repository: the sources by their targets."""
    parts = [each.split(":") for each in service.get("volumes", []) if each.startswith(".")]
    assert all(mode == "ro" for *_, mode in parts)
    return {target: source for source, target, _ in parts}


@pytest.mark.parametrize("name", ["compose.yaml", "account.yaml"])
def test_the_files_are_as_the_compose_specification_has_it(name: str) -> None:
    jsonschema.Draft7Validator(json.loads(schema("compose-spec.json").read_text())).validate(composed(name))


@pytest.mark.parametrize("service", [*SERVICES.values(), ACCOUNT], ids=[*SERVICES, "account"])
def test_what_is_mounted_is_in_the_repository_or_a_volume(service: dict[str, Any]) -> None:
    for source in mounts(service).values():
        assert (HERE / source).exists()
    named = [each.partition(":")[0] for each in service.get("volumes", []) if not each.startswith(".")]
    assert set(named) <= composed("compose.yaml")["volumes"].keys()


@every_service
def test_every_service_has_the_least_it_needs_and_is_for_this_machine_alone(service: str) -> None:
    it = SERVICES[service]
    assert it["read_only"]
    assert it["cap_drop"] == ["ALL"]
    assert it["security_opt"] == ["no-new-privileges:true"]
    assert it["mem_limit"]
    assert it["pids_limit"]
    assert all(port.startswith("127.0.0.1:") for port in it["ports"])
    assert not {"privileged", "cap_add", "network_mode", "pid", "devices", "user"} & it.keys()


@every_service
def test_every_service_says_how_it_does_and_waits_for_what_it_asks(service: str) -> None:
    it = SERVICES[service]
    assert it["healthcheck"]["test"][0] == "CMD"
    for name, how in it.get("depends_on", {}).items():
        assert name in SERVICES
        assert how == {"condition": "service_healthy"}


@every_service
def test_every_image_has_a_version_or_is_built_here_with_no_name_that_could_be_pulled(service: str) -> None:
    it = SERVICES[service]
    assert "image" not in it if "build" in it else re.fullmatch(r"[a-z]+/[a-z]+:v?\d+\.\d+\.\d+", it["image"])


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)


def lay_out(service: str, folder: Path) -> None:
    """Put what a service mounts where it is in the container, the folder being its root."""
    for target, source in mounts(SERVICES[service]).items():
        copy(HERE / source, folder / target.lstrip("/"))


@asynccontextmanager
async def started(service: str, name: str, folder: Path) -> AsyncIterator[list[str]]:
    """Run the program by its service's command; gives its health check's command for the address that it has."""
    lay_out(service, folder)
    words = [word.replace("=/", f"={folder}/") for word in SERVICES[service]["command"]]
    how, *check = SERVICES[service]["healthcheck"]["test"]
    assert how == "CMD"
    async with serving(program(name), *words) as http:
        (port,) = re.findall(r"127\.0\.0\.1:(\d+)", " ".join(check))
        assert f":{port}:{port}" in SERVICES[service]["ports"][0]
        here = [program(check[0]), *check[1:]]
        yield [word.replace(f"127.0.0.1:{port}", http.base_url.netloc.decode()) for word in here]


def healthy(check: Sequence[str]) -> bool:
    return subprocess.run(check, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("service", "name"), [("prometheus", "prometheus"), ("alertmanager", "prometheus-alertmanager")]
)
async def test_the_real_programs_take_their_command_line_and_their_files(
    service: str, name: str, tmp_path: Path
) -> None:
    async with started(service, name, tmp_path) as check:
        async with asyncio.timeout(30):
            # It is ready a little after it listens.
            while not await asyncio.to_thread(healthy, check):
                pass
    assert not healthy(check)


def test_promtool_finds_prometheus_configuration_good_with_all_its_rules(tmp_path: Path) -> None:
    lay_out("prometheus", tmp_path)
    words = [program("promtool"), "check", "config", f"{tmp_path}/etc/prometheus/prometheus.yml"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "2 rule files found" in said


def test_prometheus_is_configured_as_on_one_machine_but_for_the_names() -> None:
    alone = (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text()
    names = {
        f"localhost:{port}": f"{service}:{port}" for service, port in (("alertmanager", 9093), ("exporter", 15060))
    }
    here = composed("prometheus.yml")
    assert here == yaml.safe_load(re.sub("|".join(names), lambda found: names[found[0]], alone))
    for name in names.values():
        service, _, port = name.partition(":")
        assert SERVICES[service]["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_grafana_finds_prometheus_and_the_dashboards() -> None:
    it = SERVICES["grafana"]
    (sources,) = (ROOT / "deploy" / "grafana" / "provisioning" / "datasources").iterdir()
    (source,) = yaml.safe_load(sources.read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (providers,) = (ROOT / "deploy" / "grafana" / "provisioning" / "dashboards").iterdir()
    (provider,) = yaml.safe_load(providers.read_text())["providers"]
    dashboards = provider["options"]["path"]
    assert dashboards in mounts(it)
    folder, _, home = it["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"].rpartition("/")
    assert folder == dashboards
    assert (HERE / mounts(it)[dashboards] / home).exists()


def test_nobody_can_log_in_to_grafana_with_a_password_that_everybody_knows() -> None:
    environment = SERVICES["grafana"]["environment"]
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"


@cache
def instructions() -> tuple[tuple[str, str], ...]:
    """The Dockerfile's instructions and their arguments, a line that goes on made one."""
    text = re.sub(r"^#.*\n", "", (HERE / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return tuple((word, rest.strip()) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line))


def arguments(name: str) -> list[str]:
    return [rest for word, rest in instructions() if word == name]


def ignored(path: str) -> bool:
    """Whether the last line of the .dockerignore that is about the path keeps it out."""
    out = False
    for line in (HERE / "Dockerfile.dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        anywhere, name = pattern.startswith("**/"), pattern.removeprefix("**/").replace("*", ".*")
        if re.fullmatch(f"{'(.*/)?' * anywhere}{name}(/.*)?", path):
            out = not line.startswith("!")
    return out


def copied() -> list[str]:
    return [source for each in arguments("COPY") if "--from" not in each for source in each.split()[:-1]]


def test_the_build_sees_what_it_copies_and_nothing_else() -> None:
    assert {path.name for path in ROOT.iterdir() if not ignored(path.name)} == set(copied())
    assert ignored("exporter/api/__pycache__")
    assert ignored("deploy/docker/siptrunk_token")


def test_the_image_runs_as_nobody_and_listens_where_it_says() -> None:
    assert arguments("USER") == ["65534:65534"]
    assert arguments("EXPOSE") == [str(DEFAULT_PORT)]
    assert "SIPTRUNK_EXPORTER_REVISION=${REVISION}" in arguments("ENV")[-1]


def test_compose_asks_for_health_as_the_image_does_since_not_every_format_of_image_keeps_it() -> None:
    (line,) = arguments("HEALTHCHECK")
    assert SERVICES["exporter"]["healthcheck"]["test"] == ["CMD", *json.loads(line.partition(" CMD ")[2])]


def test_the_image_serves_the_configuration_that_the_account_file_mounts() -> None:
    (default,) = arguments("CMD")
    assert json.loads(default) == ACCOUNT["command"]
    assert parser().parse_args(ACCOUNT["command"]).config in mounts(ACCOUNT)


async def test_the_example_configuration_reads_the_secret_and_is_good(tmp_path: Path) -> None:
    secrets = composed("account.yaml")["secrets"]
    (name,) = ACCOUNT["secrets"]
    assert secrets == {name: {"file": f"./{name}"}}
    example = (HERE / "exporter.yaml").read_text()
    assert f"token_file: /run/secrets/{name}\n" in example
    (tmp_path / name).write_text("secret")
    path = tmp_path / "exporter.yaml"
    path.write_text(example.replace("/run/secrets/", ""))
    assert (await finished("check", f"--config.file={path}"))[0] == 0
    assert (HERE / ".gitignore").read_text() == f"{name}\n"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the image's build makes at /opt: its RUN instruction, executed on what it copies."""
    folder = tmp_path_factory.mktemp("image")
    for name in copied():
        copy(ROOT / name, folder / "src" / name)
    run, *_ = arguments("RUN")
    # A cache spares the package index; the build has none, to leave none in the image.
    here = {VENV: str(folder / "opt"), "python -m": f"{sys.executable} -m", "--no-cache-dir": ""}
    line = re.sub("|".join(here), lambda found: here[found[0]], run)
    subprocess.run(["/bin/sh", "-c", line], cwd=folder / "src", check=True)
    return folder / "opt"


def test_the_build_installs_the_exporter_as_pinned_and_no_installer(built: Path) -> None:
    said = subprocess.run([f"{built}/bin/siptrunk-exporter", "--version"], capture_output=True, check=True, text=True)
    assert said.stdout.startswith(f"siptrunk-exporter {__version__} ")
    (packages,) = built.glob("lib/*/site-packages")
    installed = {f"{each.name}=={each.version}" for each in distributions(path=[str(packages)])}
    pinned = (ROOT / "constraints.txt").read_text()
    assert normal(installed) - normal({f"siptrunk-exporter=={__version__}"}) <= normal(pinned.split())
    assert not [each for each in installed if each.startswith(("pip==", "setuptools=="))]


def test_the_image_that_runs_has_lost_its_base_s_installers_too(tmp_path: Path) -> None:
    base = tmp_path / "base"
    subprocess.run([sys.executable, "-m", "venv", base], check=True)
    (packages,) = base.glob("lib/*/site-packages")
    assert [*distributions(path=[str(packages)])]
    words = [word for word, _ in instructions()]
    last = words[len(words) - words[::-1].index("FROM") :]
    # While it is root's, and python the base's.
    assert last.index("RUN") < min(last.index("ENV"), last.index("USER"))
    uninstall = arguments("RUN")[-1]
    subprocess.run(["/bin/sh", "-c", uninstall], env={"PATH": f"{base}/bin:{os.environ['PATH']}"}, check=True)
    assert not [*distributions(path=[str(packages)])]


def normal(requirements: Iterable[str]) -> set[str]:
    return {each.lower().replace("_", "-") for each in requirements}


READ_ONLY = shlex.split("unshare --user --map-root-user --mount sh -c 'mount -o remount,bind,ro / && exec \"$@\"' -")


@asynccontextmanager
async def container(built: Path, command: Sequence[str], around: Sequence[str]) -> AsyncIterator[str]:
    """Run what was built as a container does, with the image's entry point; gives its address."""
    entry = json.loads(arguments("ENTRYPOINT")[0])
    process = await asyncio.create_subprocess_exec(
        *(*around, built / "bin" / entry[0], *entry[1:], *command),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
        cwd="/",
    )
    assert process.stderr
    try:
        said = await read_until(process.stderr, b"msg=listening")
        yield re.findall(r'addresses="?([^ "]+)', said.decode())[0]
    finally:
        process.terminate()
        await process.communicate()
    assert process.returncode == 0


def health_check(address: str) -> list[str]:
    (line,) = arguments("HEALTHCHECK")
    command = line.partition(" CMD ")[2]
    assert f"127.0.0.1:{DEFAULT_PORT}/" in command
    program, *words = json.loads(command)
    assert program == "python"
    return [sys.executable, *(word.replace(f"127.0.0.1:{DEFAULT_PORT}", address) for word in words)]


@pytest.mark.parametrize("around", [[], READ_ONLY], ids=["writable", "read-only"])
async def test_compose_runs_the_demo_which_is_healthy_past_a_proxy_until_it_ends(
    around: Sequence[str], built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if around and not (shutil.which(around[0]) and healthy([*around, "true"])):
        not_run("nobody may remount the root file system here: allow user namespaces")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    for_all, here = f"--web.listen-address=:{DEFAULT_PORT}", "--web.listen-address=127.0.0.1:0"
    command = [here if word == for_all else word for word in SERVICES["exporter"]["command"]]
    assert here in command
    async with container(built, command, around) as address:
        check = health_check(address)
        # It gives up after seconds, in which a machine may halt.
        async with asyncio.timeout(60):
            while not await asyncio.to_thread(healthy, check):
                pass
    assert not healthy(check)
