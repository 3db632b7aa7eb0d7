"""The Helm chart, rendered by helm itself for several sets of values and judged as Kubernetes and the exporter do."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
import sys
import tarfile
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bcrypt
import jsonschema
import pytest
import yaml

from exporter import __version__
from exporter.cli import DEFAULT_PORT, main, parser
from exporter.config import load
from exporter.shard import WHOLE, Shard
from exporter.web.status import LINKS
from tests.deploy.helm_values import CHART, VALUES, rows
from tests.markdown import blocks
from tests.programs import program, schema
from tests.web.authority import Authority
from tests.web.reached import reached

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Object = dict[str, Any]

HERE = Path(__file__).parent / "helm"
DEPLOY = CHART.parents[1]
RULES = sorted((DEPLOY / "prometheus" / "rules").glob("*.yml"))
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))

README = dict(
    zip(("readme", "users", "client-certificates", "state"), blocks(CHART / "README.md", "yaml"), strict=True)
)
CASES = ("default", *README, *sorted(path.stem for path in HERE.glob("*.yaml")))
LEAST, *_, NEWEST = VERSIONS = ("1.27.0", "1.29.0", "1.33.0", "1.37.0")
KUBERNETES_SCHEMAS = files("kubernetes_validate") / "kubernetes-json-schema"
KINDS = (
    *("configmap-v1", "deployment-apps-v1", "networkpolicy-networking-v1", "poddisruptionbudget-policy-v1"),
    *("service-v1", "serviceaccount-v1", "statefulset-apps-v1", "_definitions"),
)
MEBIBYTE = 2**20
(STATEFUL_SET,) = (each for each in blocks(DEPLOY / "scaling.md", "yaml") if "kind: StatefulSet" in each)

every_case = pytest.mark.parametrize("case", CASES)


def helm(*arguments: str | Path, values: str = "") -> subprocess.CompletedProcess[str]:
    """What helm makes of the arguments; `values` are given to it where the arguments name the file `-`."""
    return subprocess.run(
        [program("helm"), *arguments], input=values, capture_output=True, text=True, check=False, timeout=60
    )


def values_of(case: str) -> str:
    if case in README:
        return README[case]
    return "" if case == "default" else (HERE / f"{case}.yaml").read_text()


@cache
def text_of(case: str, chart: Path = CHART) -> str:
    """The manifests that helm renders for the case."""
    options = "--namespace", "voice", "--kube-version", NEWEST, "--values", "-"
    done = helm("template", "trunks", chart, *options, values=values_of(case))
    assert done.returncode == 0, done.stderr
    return done.stdout


def render(case: str) -> list[Object]:
    return [each for each in yaml.safe_load_all(text_of(case)) if each]


def of_kind(kind: str, objects: Sequence[Object]) -> list[Object]:
    return [each for each in objects if each["kind"] == kind]


def only(kind: str, case: str) -> Object:
    (found,) = of_kind(kind, render(case))
    return found


def pod_of(case: str, shard: int = 0) -> Object:
    pod: Object = of_kind("Deployment", render(case))[shard]["spec"]["template"]
    return pod


def container_of(case: str, shard: int = 0) -> Object:
    (container,) = pod_of(case, shard)["spec"]["containers"]
    assert isinstance(container, dict)
    return container


# The manifests, as Kubernetes sees them.


def closed(node: Any) -> Any:  # noqa: ANN401 - JSON
    """The schema of a custom resource, with what it does not name refused, as the API server prunes it."""
    if isinstance(node, list):
        return [closed(each) for each in node]
    if not isinstance(node, dict):
        return node
    made = {key: closed(value) for key, value in node.items()}
    if node.get("type") == "object" and "properties" in node:
        made.setdefault("additionalProperties", False)
    return made


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each version of Kubernetes with the schema of every kind that the chart renders."""
    directory = tmp_path_factory.mktemp("schemas")
    rules = {}
    for name in ("servicemonitors", "prometheusrules"):
        definition = yaml.safe_load(schema(f"monitoring.coreos.com_{name}.yaml").read_text())["spec"]
        (version,) = definition["versions"]
        rules[f"{definition['names']['singular']}-monitoring-v1"] = closed(version["schema"]["openAPIV3Schema"])
    for release in VERSIONS:
        for name in KINDS:
            text = (KUBERNETES_SCHEMAS / f"v{release}-local-strict" / f"{name}.json").read_text()
            # They refer to each other as if they stood on a server.
            rules[name] = json.loads(text.replace('"/api/_definitions.json', '"_definitions.json'))
            del rules[name]["$id"]
        folder = directory / f"v{release}"
        folder.mkdir()
        for name, each in rules.items():
            (folder / f"{name}.json").write_text(json.dumps(each))
    return directory


def judged(manifests: str, version: str, schemas: Path) -> tuple[Object, list[str]]:
    """What kubeconform counts, and what it says against the manifests."""
    location = f"{schemas}/{{{{ .NormalizedKubernetesVersion }}}}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"
    options = "-strict", "-summary", "-output", "json", "-kubernetes-version", version, "-schema-location", location
    done = subprocess.run(
        [program("kubeconform"), *options], input=manifests, capture_output=True, text=True, check=False, timeout=60
    )
    said = json.loads(done.stdout)
    return said["summary"], [f"{each['kind']}: {each['msg']}" for each in said["resources"]]


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_accepts_what_is_rendered_for_every_case(version: str, schemas: Path) -> None:
    manifests = "\n---\n".join(map(text_of, CASES))
    summary, faults = judged(manifests, version, schemas)
    assert faults == []
    assert summary == {"valid": sum(len(render(case)) for case in CASES), "invalid": 0, "errors": 0, "skipped": 0}


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_accepts_the_stateful_set_of_the_page_about_scaling(version: str, schemas: Path) -> None:
    assert judged(STATEFUL_SET, version, schemas) == ({"valid": 1, "invalid": 0, "errors": 0, "skipped": 0}, [])


def test_each_pod_of_the_stateful_set_is_a_shard_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = yaml.safe_load(STATEFUL_SET)
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    (variable,) = container["env"]
    found = []
    for ordinal in range(manifest["spec"]["replicas"]):
        monkeypatch.setenv(variable["name"], f"{manifest['metadata']['name']}-{ordinal}")
        found.append(parser().parse_args(container["args"]).shard)
    assert found == [Shard(0, 3), Shard(1, 3), Shard(2, 3)]


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("Deployment", ("spec", "template", "spec", "containers", 0)),
        ("ServiceMonitor", ("spec", "endpoints", 0)),
        ("PrometheusRule", ("spec", "groups", 0)),
    ],
)
def test_the_schemas_refuse_a_misspelt_field(kind: str, path: Sequence[str | int], schemas: Path) -> None:
    manifest = only(kind, "everything")
    found: Any = manifest
    for step in path:
        found = found[step]
    found["mispelt"] = 1
    summary, (said,) = judged(yaml.dump(manifest), NEWEST, schemas)
    assert summary["invalid"] == 1
    assert "additional properties 'mispelt' not allowed" in said


def test_helm_finds_nothing_to_say_against_the_chart() -> None:
    for case in CASES:
        done = helm("lint", "--strict", CHART, "--kube-version", NEWEST, "--values", "-", values=values_of(case))
        assert done.returncode == 0, done.stdout


def test_an_older_kubernetes_than_the_chart_names_is_refused() -> None:
    assert helm("template", CHART, "--kube-version", LEAST).returncode == 0
    assert "incompatible with Kubernetes v1.26.0" in helm("template", CHART, "--kube-version", "1.26.0").stderr


@every_case
def test_everything_stands_in_the_release_s_namespace_once_and_bears_its_labels(case: str) -> None:
    objects = render(case)
    assert len({(each["kind"], each["metadata"]["name"]) for each in objects}) == len(objects)
    whole = case == "everything"
    labels = {
        "app.kubernetes.io/name": "trunks" if whole else "siptrunk-exporter",
        "app.kubernetes.io/instance": "trunks",
        "app.kubernetes.io/version": __version__,
        "app.kubernetes.io/managed-by": "Helm",
        **({"team": "voice"} if whole else {}),
    }
    for each in objects:
        is_dashboard = "grafana_dashboard" in each["metadata"]["labels"]
        assert each["metadata"]["namespace"] == ("grafana" if whole and is_dashboard else "voice")
        assert each["metadata"]["labels"].items() >= labels.items()


@every_case
def test_all_that_selects_selects_the_pods_of_this_release(case: str) -> None:
    selector = {
        "app.kubernetes.io/name": "trunks" if case == "everything" else "siptrunk-exporter",
        "app.kubernetes.io/instance": "trunks",
    }
    own = {"siptrunk-exporter/shard": "0"} if case == "shards" else {}
    assert pod_of(case)["metadata"]["labels"].items() >= (selector | own).items()
    assert of_kind("Deployment", render(case))[0]["spec"]["selector"] == {"matchLabels": selector | own}
    assert only("Service", case)["spec"]["selector"] == selector
    for kind in ("ServiceMonitor", "PodDisruptionBudget"):
        assert all(each["spec"]["selector"] == {"matchLabels": selector} for each in of_kind(kind, render(case)))
    for each in of_kind("NetworkPolicy", render(case)):
        assert each["spec"]["podSelector"] == {"matchLabels": selector}
    constraints = pod_of(case)["spec"].get("topologySpreadConstraints", [])
    expected = [] if case == "minimal" else [selector | own, {"tier": "other"}][: 1 + (case == "pair")]
    assert [each["labelSelector"]["matchLabels"] for each in constraints] == expected


@every_case
def test_all_that_names_a_port_names_the_exporter_s(case: str) -> None:
    container = container_of(case)
    assert container["ports"] == [{"name": "metrics", "containerPort": DEFAULT_PORT}]
    assert only("Service", case)["spec"]["ports"] == [
        {"name": "metrics", "port": 80 if case == "everything" else DEFAULT_PORT, "targetPort": "metrics"}
    ]
    for monitor in of_kind("ServiceMonitor", render(case)):
        assert [each["port"] for each in monitor["spec"]["endpoints"]] == ["metrics"]
    for policy in of_kind("NetworkPolicy", render(case)):
        assert [each["ports"] for each in policy["spec"]["ingress"]] == [[{"port": "metrics"}]]


def test_prometheus_knows_the_job_by_the_name_that_the_rules_look_for() -> None:
    (endpoint,) = only("ServiceMonitor", "everything")["spec"]["endpoints"]
    assert endpoint["relabelings"] == [
        {"targetLabel": "job", "replacement": "siptrunk"},
        {"targetLabel": "cluster", "replacement": "blue"},
    ]
    assert (endpoint["interval"], endpoint["scrapeTimeout"]) == ("1m30s", "20s")
    assert endpoint["metricRelabelings"] == [{"action": "labeldrop", "regex": "default_caller_id"}]


def test_a_pair_has_a_budget_for_drains_and_a_single_pod_has_none() -> None:
    assert only("PodDisruptionBudget", "pair")["spec"]["maxUnavailable"] == 1
    assert of_kind("PodDisruptionBudget", render("default")) == []


def test_each_shard_is_a_deployment_of_its_own_and_its_replicas_keep_apart() -> None:
    deployments = of_kind("Deployment", render("shards"))
    assert [each["metadata"]["name"] for each in deployments] == [f"trunks-siptrunk-exporter-{n}" for n in range(3)]
    for ordinal, each in enumerate(deployments):
        own = {"siptrunk-exporter/shard": str(ordinal)}
        assert each["spec"]["replicas"] == 2
        assert each["spec"]["selector"]["matchLabels"].items() >= own.items()
        assert each["spec"]["template"]["metadata"]["labels"].items() >= own.items()
        (constraint,) = each["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert constraint["labelSelector"] == each["spec"]["selector"]
        options = parser().parse_args(container_of("shards", ordinal)["args"])
        assert (options.shard, options.log_format) == (Shard(ordinal, 3), "json")
    assert only("PodDisruptionBudget", "shards")["spec"]["maxUnavailable"] == 1
    assert parser().parse_args(container_of("default")["args"]).shard == WHOLE


def test_the_policy_lets_out_names_and_https_alone() -> None:
    spec = only("NetworkPolicy", "pair")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["egress"] == [{"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53}, {"port": 443}]}]
    assert [each["from"] for each in spec["ingress"]] == [
        [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    ]


def test_a_roll_out_keeps_the_old_pod_until_the_new_one_has_data() -> None:
    assert only("Deployment", "default")["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert only("Deployment", "everything")["spec"]["strategy"] == {"type": "Recreate"}
    assert container_of("default")["readinessProbe"]["httpGet"] == {"path": "/-/ready", "port": "metrics"}


def asked(probe: Object) -> Object:
    """What a probe asks of the exporter: the path at least."""
    return {"path": probe["exec"]["command"][-1]} if "exec" in probe else probe["httpGet"]


@every_case
def test_probes_ask_what_the_exporter_answers(case: str) -> None:
    probes = {key: value for key, value in container_of(case).items() if key.endswith("Probe")}
    assert len(probes) == (2 if case == "minimal" else 3)
    assert asked(probes["readinessProbe"])["path"] == "/-/ready"
    if startup := probes.pop("startupProbe", None):
        assert startup.get("tcpSocket") or asked(startup)["path"] in LINKS
    assert {asked(probe)["path"] for probe in probes.values()} <= set(LINKS)
    assert {probe["httpGet"]["port"] for probe in probes.values() if "httpGet" in probe} <= {"metrics"}


async def test_probes_with_a_password_are_let_in(tmp_path: Path) -> None:
    probe = asked(container_of("users")["readinessProbe"])
    (header,) = probe["httpHeaders"]
    user, password = base64.b64decode(header["value"].removeprefix("Basic ")).split(b":")
    hashed = bcrypt.hashpw(password, bcrypt.gensalt(4)).decode()
    Authority(tmp_path).issue("server", "DNS:localhost")
    tls = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"
    async with reached(tmp_path, f"{tls}basic_auth_users: {{{user.decode()}: {hashed}}}") as it:
        words = ("--header", f"{header['name']}: {header['value']}")
        assert await it.status("/-/ready", scheme=probe["scheme"].lower()) == 401
        async with asyncio.timeout(30):
            while await it.status(probe["path"], *words, scheme=probe["scheme"].lower()) != 200:
                pass


async def test_probes_with_a_certificate_are_let_in_and_tell_when_the_exporter_is_ready(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    authority.issue("server", "DNS:localhost")
    authority.issue("probe")
    tls = "cert_file: server.crt, key_file: server.key, client_ca_file: ca.pem"
    tls += ", client_auth_type: RequireAndVerifyClientCert"
    async with reached(tmp_path, f"tls_server_config: {{{tls}}}") as it:

        async def done(probe: str) -> int:
            python, *words = container_of("client-certificates")[probe]["exec"]["command"]
            assert python == "python"
            places = {"/etc/web": str(tmp_path), "127.0.0.1:15060": f"127.0.0.1:{it.port}"}
            for there, here in places.items():
                words = [word.replace(there, here) for word in words]
            process = await asyncio.create_subprocess_exec(sys.executable, *words, stderr=asyncio.subprocess.PIPE)
            await process.communicate()
            assert process.returncode is not None
            return process.returncode

        # Each gives up after seconds, in which a machine may halt.
        for probe in ("livenessProbe", "readinessProbe"):
            async with asyncio.timeout(30):
                while await done(probe):
                    pass
        it.exporter.process.terminate()
        await it.exporter.process.wait()
        assert await done("readinessProbe") == 1


def test_the_full_name_can_be_given() -> None:
    assert {each["metadata"]["name"] for each in render("pair")} == {"trunks"}


def test_the_image_is_named_by_version_tag_or_digest() -> None:
    assert container_of("default")["image"] == f"siptrunk-exporter:{__version__}"
    assert container_of("pair")["image"] == "siptrunk-exporter:1.10"
    digest = yaml.safe_load(values_of("everything"))["image"]["digest"]
    assert container_of("everything")["image"] == f"registry.example:5000/voice/siptrunk-exporter@{digest}"


POD = "Deployment spec template spec"
CONTAINER = f"{POD} containers 0"
PLACES = (
    ("replicas", "Deployment spec replicas"),
    ("image.pullPolicy", f"{CONTAINER} imagePullPolicy"),
    ("imagePullSecrets", f"{POD} imagePullSecrets"),
    ("nameOverride", "Deployment metadata labels app.kubernetes.io/name"),
    ("commonLabels", "Deployment metadata labels"),
    ("commonLabels", "Deployment spec template metadata labels"),
    ("extraArgs", f"{CONTAINER} args"),
    ("extraEnv", f"{CONTAINER} env"),
    ("extraVolumes", f"{POD} volumes"),
    ("extraVolumeMounts", f"{CONTAINER} volumeMounts"),
    ("resources", f"{CONTAINER} resources"),
    ("serviceAccount.name", f"{POD} serviceAccountName"),
    ("serviceAccount.annotations", "ServiceAccount metadata annotations"),
    ("service.type", "Service spec type"),
    ("service.port", "Service spec ports 0 port"),
    ("service.annotations", "Service metadata annotations"),
    ("serviceMonitor.labels", "ServiceMonitor metadata labels"),
    ("serviceMonitor.interval", "ServiceMonitor spec endpoints 0 interval"),
    ("serviceMonitor.scrapeTimeout", "ServiceMonitor spec endpoints 0 scrapeTimeout"),
    ("serviceMonitor.relabelings", "ServiceMonitor spec endpoints 0 relabelings"),
    ("serviceMonitor.endpoint", "ServiceMonitor spec endpoints 0"),
    ("serviceMonitor.metricRelabelings", "ServiceMonitor spec endpoints 0 metricRelabelings"),
    ("prometheusRule.labels", "PrometheusRule metadata labels"),
    ("prometheusRule.additionalGroups", "PrometheusRule spec groups"),
    ("dashboards.namespace", "ConfigMap metadata namespace"),
    ("dashboards.labels", "ConfigMap metadata labels"),
    ("dashboards.annotations", "ConfigMap metadata annotations"),
    ("networkPolicy.from", "NetworkPolicy spec ingress 0 from"),
    ("networkPolicy.extraEgress", "NetworkPolicy spec egress"),
    ("strategy", "Deployment spec strategy"),
    ("progressDeadlineSeconds", "Deployment spec progressDeadlineSeconds"),
    *((probe, f"{CONTAINER} {probe}") for probe in ("startupProbe", "livenessProbe", "readinessProbe")),
    ("podSecurityContext", f"{POD} securityContext"),
    ("securityContext", f"{CONTAINER} securityContext"),
    ("podAnnotations", "Deployment spec template metadata annotations"),
    ("podLabels", "Deployment spec template metadata labels"),
    ("priorityClassName", f"{POD} priorityClassName"),
    ("nodeSelector", f"{POD} nodeSelector"),
    ("tolerations", f"{POD} tolerations"),
    ("affinity", f"{POD} affinity"),
    ("topologySpreadConstraints", f"{POD} topologySpreadConstraints"),
)
# What decides of whole objects, or goes into a text, has a test of its own.
ELSEWHERE = {
    *("config", "image.repository", "image.tag", "image.digest", "fullnameOverride", "serviceAccount.create"),
    *(f"{name}.enabled" for name in ("serviceMonitor", "prometheusRule", "dashboards", "networkPolicy")),
    "podDisruptionBudget.enabled",
    "shards",
}


def at(node: Any, path: Sequence[str]) -> Any:  # noqa: ANN401 - any YAML
    for step in path:
        node = node[int(step) if isinstance(node, list) else step]
    return node


def holds(found: Any, given: Any) -> bool:  # noqa: ANN401 - any YAML
    """Whether what was given is there, be it after or among what the chart has of its own."""
    if isinstance(given, dict):
        return all(holds(found.get(key), value) for key, value in given.items())
    if isinstance(given, list):
        return len(found) >= len(given) and all(map(holds, found[-len(given) :], given))
    return bool(found != given if given == "not-to-be-taken" else found == given)


@pytest.mark.parametrize(("value", "place"), PLACES)
def test_each_value_is_found_in_its_place(value: str, place: str) -> None:
    given, default = (
        at(yaml.safe_load(text), value.split(".")) for text in (values_of("everything"), VALUES.read_text())
    )
    assert given != default, "a value that could be the chart's own"
    kind, *path = place.split()
    # The last ConfigMap is a dashboard's.
    assert holds(at(of_kind(kind, render("everything"))[-1], path), given)


def test_no_value_is_without_a_place() -> None:
    text = VALUES.read_text()
    root = yaml.compose(text)
    assert isinstance(root, yaml.MappingNode)
    names = {name.strip("`") for name, *_ in rows(root, text.splitlines())}
    assert names == {value for value, _ in PLACES} | ELSEWHERE


def test_what_is_not_enabled_is_not_made() -> None:
    least = {"ConfigMap", "Deployment", "Service"}
    assert {each["kind"] for each in render("minimal")} == least
    assert {each["kind"] for each in render("default")} == least | {"ServiceAccount"}
    assert {each["kind"] for each in render("everything")} == least | {
        *("ServiceAccount", "ServiceMonitor", "PrometheusRule", "NetworkPolicy", "PodDisruptionBudget"),
    }
    assert len(of_kind("ConfigMap", render("everything"))) == 1 + len(DASHBOARDS)
    assert len(of_kind("ConfigMap", render("minimal"))) == 1


def test_names_that_yaml_takes_for_something_else_stay_text(schemas: Path) -> None:
    options = "--set-string", "nameOverride=true,serviceAccount.name=1e3"
    done = helm("template", "123", CHART, "--kube-version", NEWEST, "--namespace", "7", *options)
    assert judged(done.stdout, NEWEST, schemas)[1] == []


# The pod's security.


def lapses(pod: Object) -> Iterator[str]:
    """What the Pod Security Standard "restricted" does not let pass."""
    spec = pod["spec"]
    yield from (name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name))
    kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
    yield from kinds - {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "projected", "secret"}
    for container in (*spec["containers"], *spec.get("initContainers", ())):
        context = {**spec["securityContext"], **container["securityContext"]}
        expected = {
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "seccompProfile": {"type": "RuntimeDefault"},
            "capabilities": {"drop": ["ALL"]},
        }
        yield from (key for key, value in expected.items() if context.get(key) != value)
        yield from ("runAsUser",) if context.get("runAsUser") == 0 else ()
        yield from ("privileged",) if context.get("privileged") else ()
        yield from ("hostPort",) if any("hostPort" in port for port in container["ports"]) else ()


@every_case
def test_pods_satisfy_the_restricted_standard_and_cannot_write_nor_ask_kubernetes(case: str) -> None:
    pod = pod_of(case)
    assert list(lapses(pod)) == []
    assert all(each["securityContext"]["readOnlyRootFilesystem"] for each in pod["spec"]["containers"])
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["spec"]["enableServiceLinks"] is False
    for account in of_kind("ServiceAccount", render(case)):
        assert account["automountServiceAccountToken"] is False
        assert account["metadata"]["name"] == pod["spec"]["serviceAccountName"]


def test_the_service_account_is_the_default_one_where_none_is_made() -> None:
    assert of_kind("ServiceAccount", render("minimal")) == []
    assert pod_of("minimal")["spec"]["serviceAccountName"] == "default"


# The exporter's configuration.


def mount(case: str, directory: Path) -> None:
    """Write what the container sees of its configuration; a Secret's key holds the names of both."""
    (volume,) = (each["projected"] for each in pod_of(case)["spec"]["volumes"] if each["name"] == "config")
    # The exporter reads by its group, and nobody else reads.
    assert volume["defaultMode"] == 0o440
    assert pod_of(case)["spec"]["securityContext"]["fsGroup"] == 65534
    maps = {each["metadata"]["name"]: each["data"] for each in of_kind("ConfigMap", render(case))}
    for source in volume["sources"]:
        if "configMap" in source:
            for name, text in maps[source["configMap"]["name"]].items():
                (directory / name).write_text(text)
            continue
        for item in source["secret"]["items"]:
            file = directory / item["path"]
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("x") as new:
                new.write(f"{source['secret']['name']}:{item['key']}")


@every_case
def test_the_exporter_accepts_its_configuration_and_its_command_line(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SIPTRUNK_TOKEN", "in the environment")
    mount(case, tmp_path)
    container = container_of(case)
    (directory,) = (each["mountPath"] for each in container["volumeMounts"] if each["name"] == "config")
    config = Path(parser().parse_args(container["args"]).config)
    assert str(config.parent) == directory
    assert main(["check", "--config.file", str(tmp_path / config.name)]) == 0, capsys.readouterr()


@pytest.mark.parametrize(
    ("case", "tokens"),
    [
        ("default", ["siptrunk-token:token"]),
        ("two-accounts", ["first:token", "second.example:API_token.txt", "first:other", "first:token"]),
        ("everything", ["siptrunk-token:token", "in the environment"]),
    ],
)
def test_each_account_reads_the_token_of_its_own_secret(
    case: str, tokens: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIPTRUNK_TOKEN", "in the environment")
    mount(case, tmp_path)
    assert [account.token.read() for account in load(tmp_path / "exporter.yaml").config.accounts] == tokens


def test_the_configuration_is_what_the_values_say() -> None:
    given = yaml.safe_load(values_of("two-accounts"))["config"]
    for account in given["accounts"]:
        secret = account.pop("existingSecret")
        account["token_file"] = f"secrets/{secret['name']}/{secret['key']}"
    assert yaml.safe_load(only("ConfigMap", "two-accounts")["data"]["exporter.yaml"]) == given


def test_pods_are_replaced_when_the_configuration_changes_and_only_then() -> None:
    def checksum(*options: str) -> str:
        done = helm("template", "x", CHART, "--kube-version", NEWEST, "-s", "templates/deployment.yaml", *options)
        text: str = yaml.safe_load(done.stdout)["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        return text

    assert checksum() == checksum("--set", "replicas=2,serviceMonitor.enabled=true,commonLabels.team=voice")
    assert checksum() != checksum("--set", "config.poll.interval=5m")


# Rules and dashboards.


def test_the_rules_are_those_of_the_rule_files_untouched() -> None:
    groups = only("PrometheusRule", "everything")["spec"]["groups"]
    written_groups = [group for file in RULES for group in yaml.safe_load(file.read_text())["groups"]]
    assert "{{" in str(written_groups), "no template that helm might have taken for its own"
    assert groups[:-1] == written_groups
    assert groups[-1]["rules"][0]["annotations"] == {"summary": "{{ $value }} {{ .Values.replicas }}"}


@pytest.mark.parametrize("case", ["readme", "everything"])
def test_the_dashboards_are_the_files_byte_for_byte_and_no_config_map_is_too_large(case: str) -> None:
    maps = [each for each in of_kind("ConfigMap", render(case)) if "grafana_dashboard" in each["metadata"]["labels"]]
    assert DASHBOARDS
    assert [each["data"] for each in maps] == [{file.name: file.read_bytes().decode()} for file in DASHBOARDS]
    for each in maps:
        assert each["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert each["metadata"]["annotations"]["grafana_folder"] == "SIP trunks"
        assert len(json.dumps(each)) < MEBIBYTE


@pytest.mark.parametrize(("value", "lost"), [("dashboards", "dashboards/*.json"), ("prometheusRule", "rules/*.yml")])
def test_a_chart_whose_links_were_lost_says_so_and_renders_nothing(value: str, lost: str, tmp_path: Path) -> None:
    chart = shutil.copytree(CHART, tmp_path / CHART.name, ignore=shutil.ignore_patterns("files"))
    assert helm("template", chart, "--kube-version", NEWEST).returncode == 0
    done = helm("template", chart, "--kube-version", NEWEST, "--set", f"{value}.enabled=true")
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        f"the chart holds no files/{lost}, which are symbolic links in the repository: take a chart that" in done.stderr
    )


def test_a_package_holds_all_that_the_folder_does(tmp_path: Path) -> None:
    assert helm("package", CHART, "--destination", tmp_path).returncode == 0
    with tarfile.open(tmp_path / f"siptrunk-exporter-{__version__}.tgz") as package:
        assert all(member.isfile() for member in package.getmembers())
        for member in package.getmembers():
            content = package.extractfile(member)
            assert content
            file = tmp_path / member.name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.read())
    unpacked = tmp_path / CHART.name
    shipped = {str(file.relative_to(unpacked / "files")) for file in (unpacked / "files").rglob("*.*")}
    assert shipped >= {f"rules/{file.name}" for file in RULES} | {f"dashboards/{file.name}" for file in DASHBOARDS}
    assert text_of("everything", unpacked) == text_of("everything")


# Values.

ONE = "config: {accounts: [{account_sid: A1, discover: {}, %s}]}"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("replica: 2", "at '': additional properties 'replica' not allowed"),
        ("replicas: two", "at '/replicas': got string, want integer"),
        ("shards: 0", "at '/shards': minimum: got 0, want 1"),
        ("image: {tag: 1.10}", "at '/image/tag': got number, want string"),
        ("image: {digest: sha256:12}", "at '/image/digest': 'sha256:12' does not match pattern"),
        ("image: {pullPolicy: Sometimes}", "at '/image/pullPolicy': value must be one of 'Always', 'IfNotPresent'"),
        ("service: {ports: 80}", "at '/service': additional properties 'ports' not allowed"),
        ("service: {port: 70000}", "at '/service/port': maximum: got 70,000, want 65,535"),
        ("serviceMonitor: {interval: 30}", "at '/serviceMonitor/interval': got number, want string"),
        ("serviceMonitor: {interval: 30sec}", "at '/serviceMonitor/interval': '30sec' does not match pattern"),
        ("networkPolicy: {enabled: true, from: []}", "at '/networkPolicy/from': minItems: got 0, want 1"),
        ("networkPolicy: {enabled: true, from: null}", "at '/networkPolicy': missing property 'from'"),
        ("nameOverride: a b", "at '/nameOverride': 'a b' does not match pattern"),
        ("fullnameOverride: My_Name", "at '/fullnameOverride': 'My_Name' does not match pattern"),
        ("podAnnotations: null", "at '': missing property 'podAnnotations'"),
        ("prometheusRule: {additionalGroups: null}", "at '/prometheusRule': missing property 'additionalGroups'"),
        ("networkPolicy: {from: [{namespace: x}]}", "at '/networkPolicy/from/0': additional properties 'namespace'"),
        ("podAnnotations: {scrape: true}", "at '/podAnnotations/scrape': got boolean, want string"),
        ("extraArgs: --log.format=json", "at '/extraArgs': got string, want array"),
        ("config: {accounts: []}", "at '/config/accounts': minItems: got 0, want 1"),
        (ONE % "token: hunter2", "at '/config/accounts/0/token': value must be 'in a Secret, named by existingSecret'"),
        (
            ONE % "existingSecret: {name: x, key: y}, token: 'in a Secret, named by existingSecret'",
            "at '/config/accounts/0': 'not' failed",
        ),
        (ONE % "existingSecret: {name: x, key: ..}", "at '/config/accounts/0/existingSecret/key': '..' does not match"),
        (ONE % "name: x", "at '/config/accounts/0': missing property 'existingSecret'"),
        (ONE % "existingSecret: {name: x}", "at '/config/accounts/0/existingSecret': missing property 'key'"),
        (ONE % "existingSecret: {name: x/y, key: z}", "at '/config/accounts/0/existingSecret/name': 'x/y' does not"),
        (
            ONE % "existingSecret: {name: x, key: y}, token_file: /z",
            "at '/config/accounts/0': 'oneOf' failed, subschemas 0, 1 matched",
        ),
    ],
)
def test_bad_values_are_refused_with_their_place_and_without_what_may_be_secret(values: str, said: str) -> None:
    done = helm("template", CHART, "--kube-version", NEWEST, "--values", "-", values=values)
    assert done.returncode == 1
    assert said in done.stderr
    assert "hunter2" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    "section", [key for key, value in yaml.safe_load(VALUES.read_text()).items() if isinstance(value, dict)]
)
def test_a_section_that_is_taken_away_is_refused_or_rendered_without(section: str, schemas: Path) -> None:
    done = helm("template", CHART, "--kube-version", NEWEST, "--set", f"{section}=null")
    if done.returncode:
        assert f"at '': missing property '{section}'" in done.stderr
    else:
        assert judged(done.stdout, NEWEST, schemas)[1] == []


def test_the_schema_names_every_value_and_no_other() -> None:
    rules = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(rules)
    values = yaml.safe_load(VALUES.read_text())
    # What Helm itself hands to a chart that is part of another.
    del rules["properties"]["global"]
    for section, given in ((rules, values), *((rules["properties"].get(key, {}), values[key]) for key in values)):
        if "additionalProperties" in section:
            assert set(section["properties"]) == set(given)


def test_the_chart_s_version_is_the_exporter_s() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


@pytest.fixture
def notes(tmp_path: Path) -> Callable[[str], str]:
    """The notes that helm renders for a case."""
    # Without a cluster helm renders the notes but does not show them.
    (tmp_path / "templates").mkdir()
    for file in ("Chart.yaml", "values.yaml", "templates/_helpers.tpl"):
        (tmp_path / file).write_text((CHART / file).read_text())
    text = (CHART / "templates" / "NOTES.txt").read_text()
    (tmp_path / "templates" / "notes.yaml").write_text(
        f'{{{{ define "notes" }}}}{text}{{{{ end }}}}notes: {{{{ include "notes" . | toJson }}}}'
    )
    return lambda case: str(yaml.safe_load(text_of(case, tmp_path))["notes"])


def test_the_notes_name_the_secrets_that_must_be_there(notes: Callable[[str], str]) -> None:
    shown = notes("two-accounts")
    assert "polls 4 account(s)" in shown
    for name, key in (("first", "token"), ("second.example", "API_token.txt"), ("first", "other")):
        assert f"\nIts pods wait for the key {key} of the Secret {name} in the namespace voice.\n" in shown
    assert "svc/trunks-siptrunk-exporter 15060:15060" in shown
    assert "the target trunks-siptrunk-exporter.voice.svc:15060" in shown
    assert "request budget" not in shown


def test_the_notes_tell_what_several_exporters_ask_and_that_each_is_a_target(notes: Callable[[str], str]) -> None:
    shown = notes("shards")
    assert "Its 6 pods (2 for each of 3 shard(s)) have a request budget each" in shown
    assert "logs deploy/trunks-siptrunk-exporter-0\n" in shown
    assert "every pod as a target" in shown
