"""Deployment files that nobody runs in CI still have to agree with the code and with each other.

Parsed and held against settings, command line and topic table: a renamed setting, a missing command, an unpinned
image, a selector that selects nothing. What they cannot show is that an engine accepts them.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from stream_maas import __version__, brokers, settings, topics
from stream_maas.dashboard.access import Access
from stream_maas.errors import ERRORS_BY_CODE
from stream_maas.worker.follower_metrics import FollowerMetrics
from stream_maas.worker.metrics import Metrics
from stream_maas.worker.monitor_metrics import MonitorMetrics
from tests.conftest import IN_CI

ROOT = Path(__file__).parents[1]
KUBERNETES = ROOT / "deploy" / "kubernetes"
WORKLOADS = ("StatefulSet", "Deployment")
DEFAULTS = settings.load(environ={})
KNOWN_VARIABLES = {row.env for row in settings.describe(DEFAULTS)}
SERIES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
"""What Prometheus knows a metric by, also before it has a labelled sample."""


def is_pinned(image: str) -> bool:
    """Whether an image reference names one version: a digest, or a tag that holds a number."""
    name, _, tag = image.rpartition("/")[2].partition(":")
    return bool(name) and ("@sha256:" in image or bool(re.search(r"\d+\.\d+", tag)))


def seconds(duration: str) -> float:
    """A compose duration such as "30s" or "1m30s" in seconds."""
    units = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)(ms|h|m|s)", duration))


def run_help(command: list[str]) -> subprocess.CompletedProcess[str]:
    """`stream-maas COMMAND --help` in a process of its own."""
    program = [sys.executable, "-m", "stream_maas", *command, "--help"]
    return subprocess.run(program, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("image", "pinned"),
    [
        ("python:3.11.14-slim-bookworm", True),
        ("apache/kafka:4.3.1", True),
        ("registry.example:5000/kafka:4.3.1", True),
        ("kafka@sha256:00ff", True),
        ("kafka", False),
        ("kafka:latest", False),
        ("registry.example:5000/kafka", False),
        ("python:3-slim", False),
    ],
)
def test_pinned_is_told_from_moving(image: str, pinned: bool) -> None:
    assert is_pinned(image) is pinned


# --- docker-compose.yml -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


OURS = ("topics", "worker", "worker-2", "sealer", "witness", "monitor", "dashboard")


def test_compose_has_its_services(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert {*OURS, "kafka", "prometheus", "grafana"} == set(services)
    started_by_default = {name for name, service in services.items() if not service.get("profiles")}
    assert started_by_default == {"kafka", "topics", "worker"}
    assert services["kafka"]["image"] == f"apache/kafka:{brokers.KAFKA_VERSION}", "compose and tests run the same Kafka"
    for name, service in services.items():
        assert is_pinned(service["image"]), name
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), f"{name} is published beyond this machine: {port}"


def test_compose_starts_in_order(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name, service in services.items():
        wanted = service.get("depends_on", {})
        assert set(wanted) <= set(services), name
    assert services["topics"]["depends_on"]["kafka"]["condition"] == "service_healthy"
    assert services["worker"]["depends_on"]["topics"]["condition"] == "service_completed_successfully"
    assert "test" in services["kafka"]["healthcheck"]


@pytest.mark.parametrize("name", OURS)
def test_compose_services_are_hardened(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["tmpfs"] == ["/tmp"]
    assert service["image"] == f"stream-maas:{__version__}"
    if name != "topics":
        assert seconds(service["stop_grace_period"]) * 1000 > DEFAULTS.worker.stop_grace_ms


@pytest.mark.parametrize("name", OURS)
def test_compose_commands_exist(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    done = run_help(service["command"])
    if service.get("profiles") == ["later"]:
        assert done.returncode == 2, f"`{name}` exists by now: move it out of the profile `later`"
    else:
        assert done.returncode == 0, done.stderr


def test_compose_variables_are_settings(compose: dict[str, Any]) -> None:
    instances = []
    for name in OURS:
        environment = compose["services"][name].get("environment", {})
        assert set(environment) <= KNOWN_VARIABLES, name
        settings.load(environ={key: value for key, value in environment.items() if not value.startswith("${")})
        instances.append(environment.get("STREAM_MAAS_INSTANCE"))
    named = [instance for instance in instances if instance]
    assert len(named) == len(set(named)) >= 3, "two live processes never share a name"


def test_compose_mounts_exist(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith("./") else source in compose["volumes"], (
                f"{name}: {source}"
            )


# --- Dockerfile -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dockerfile() -> list[tuple[str, str]]:
    """(instruction, rest) in order; continuation lines joined, comments gone."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#"))
    logical = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in logical if line.strip()]


def test_image_runs_as_nobody_special(dockerfile: list[tuple[str, str]]) -> None:
    base = next(rest for word, rest in dockerfile if word == "ARG").partition("=")[2]
    assert is_pinned(base)
    last = [word for word, _ in dockerfile]
    final = dockerfile[len(last) - 1 - last[::-1].index("FROM") :]
    instructions = dict(final)
    uid = instructions["USER"].partition(":")[0]
    assert uid.isdecimal()
    assert int(uid) >= 10_000, "a number that no account of the host has"
    assert json.loads(instructions["ENTRYPOINT"]) == ["stream-maas"]
    assert run_help(json.loads(instructions["CMD"])).returncode == 0
    assert f'org.opencontainers.image.version="{__version__}"' in instructions["LABEL"]


def test_image_health_check_asks_the_worker(dockerfile: list[tuple[str, str]]) -> None:
    environment = dict(pair.split("=", 1) for word, rest in dockerfile if word == "ENV" for pair in rest.split())
    assert {name for name in environment if name.startswith("STREAM_MAAS_")} <= KNOWN_VARIABLES
    check = next(rest for word, rest in dockerfile if word == "HEALTHCHECK")
    program = json.loads(check[check.index("[") :])
    assert program[:2] == ["python", "-c"]
    ast.parse(program[2])
    assert "/healthz" in program[2]
    assert "STREAM_MAAS_WORKER_WEB_PORT" in program[2]
    assert "STREAM_MAAS_WORKER_WEB_PORT" in environment


def test_image_gets_what_it_copies(dockerfile: list[tuple[str, str]]) -> None:
    let_through = {
        line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"
    }
    copied = {
        path for word, rest in dockerfile if word == "COPY" and "--from" not in rest for path in rest.split()[:-1]
    }
    assert copied == let_through
    for path in copied:
        assert (ROOT / path).exists(), path


def test_lock_satisfies_the_project(dockerfile: list[tuple[str, str]]) -> None:
    """The image must not drift from pyproject.toml: same packages, allowed versions, every one with a hash."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for path, wanted in (
        ("deploy/requirements.lock", project["project"]["dependencies"]),
        ("deploy/requirements-build.lock", project["build-system"]["requires"]),
    ):
        entries = re.findall(
            r"^([a-z0-9.-]+)==(\S+) \\\n    --hash=sha256:[0-9a-f]{64}", (ROOT / path).read_text(), re.M
        )
        locked = dict(entries)
        for requirement in map(Requirement, wanted):
            name = re.sub(r"[-_.]+", "-", requirement.name).lower()
            assert name in locked, f"{path} lacks {name}"
            assert requirement.specifier.contains(locked[name]), (
                f"{path}: {name} {locked[name]} is not {requirement.specifier}"
            )
        assert any("--require-hashes" in rest and Path(path).name in rest for word, rest in dockerfile if word == "RUN")


# --- deploy/kubernetes ------------------------------------------------------------------------------------------


def documents(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]


@pytest.fixture(scope="module")
def manifests() -> dict[str, dict[str, Any]]:
    """Kind -> manifest; each kind is there once but for the Job's and the example's secrets."""
    found = {}
    for path in sorted(KUBERNETES.glob("*.yaml")):
        for document in documents(path):
            found.setdefault(document["kind"], document)
    return found


def pods(manifests: dict[str, dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind in ("StatefulSet", "Job"):
        yield kind, manifests[kind]["spec"]["template"]["spec"]


@pytest.fixture(scope="module")
def variables(manifests: dict[str, dict[str, Any]]) -> dict[str, str]:
    """The environment of the worker's container as the manifests make it."""
    container = manifests["StatefulSet"]["spec"]["template"]["spec"]["containers"][0]
    assert [next(iter(source)) for source in container["envFrom"]] == ["configMapRef", "secretRef"]
    named = {entry["name"]: entry.get("value", "stream-maas-worker-0") for entry in container["env"]}
    return manifests["ConfigMap"]["data"] | manifests["Secret"]["stringData"] | named


def test_manifests_are_all_applied(manifests: dict[str, dict[str, Any]]) -> None:
    kustomization = manifests["Kustomization"]
    assert set(manifests) - {"Kustomization"} == {
        "Namespace", "ServiceAccount", "ConfigMap", "Secret", "Job", "Service", "StatefulSet", "PodDisruptionBudget",
        "NetworkPolicy", "ScaledObject", "TriggerAuthentication",
    }  # fmt: skip
    files = {path.name for path in KUBERNETES.glob("*.yaml")}
    assert files - set(kustomization["resources"]) == {"kustomization.yaml", "secret.example.yaml"}
    assert kustomization["images"] == [{"name": "stream-maas", "newTag": __version__}]
    for _, pod in pods(manifests):
        assert [container["image"] for container in pod["containers"]] == ["stream-maas"], "the tag is set in one place"
        assert run_help(pod["containers"][0]["args"]).returncode == 0


def test_worker_settings_load(variables: dict[str, str]) -> None:
    """Every variable is a setting, and the settings room accepts the values."""
    assert set(variables) <= KNOWN_VARIABLES
    loaded = settings.load(environ=variables)
    assert loaded.worker.instance == "stream-maas-worker-0"
    assert loaded.worker.delivery == "exactly-once"
    assert loaded.kafka.security_protocol == "SASL_SSL"
    assert loaded.topics.replication_count == 3
    assert loaded.audit.key_encryption_key.startswith("/etc/"), "not in the volume that it protects"
    assert loaded.audit.key_store.startswith("/var/lib/")
    secret = [name for name in variables if re.search(r"PASSWORD|DIGEST_KEY$", name)]
    assert len(secret) == 2


def test_instance_is_the_pod_name(manifests: dict[str, dict[str, Any]]) -> None:
    container = manifests["StatefulSet"]["spec"]["template"]["spec"]["containers"][0]
    assert container["env"][0] == {
        "name": "STREAM_MAAS_INSTANCE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}
    }  # fmt: skip


def test_pods_are_hardened(manifests: dict[str, dict[str, Any]]) -> None:
    assert manifests["ServiceAccount"]["automountServiceAccountToken"] is False
    for kind, pod in pods(manifests):
        assert pod["automountServiceAccountToken"] is False, kind
        assert pod["serviceAccountName"] == manifests["ServiceAccount"]["metadata"]["name"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "memory" in container["resources"]["limits"]
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            claims = [claim["metadata"] for claim in manifests[kind]["spec"].get("volumeClaimTemplates", [])]
            assert mounted == {volume["name"] for volume in (*pod["volumes"], *claims)}
    assert manifests["Namespace"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_probes_and_ports_agree(manifests: dict[str, dict[str, Any]], variables: dict[str, str]) -> None:
    pod = manifests["StatefulSet"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    port = int(variables["STREAM_MAAS_WORKER_WEB_PORT"])
    assert variables["STREAM_MAAS_WORKER_WEB_HOST"] == "0.0.0.0", "kubelet does not come by loopback"
    assert container["ports"] == [{"name": "web", "containerPort": port}]
    paths = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    assert {container[name]["httpGet"]["port"] for name in paths} == {"web"}
    assert manifests["Service"]["spec"]["ports"][0]["port"] == port
    assert pod["terminationGracePeriodSeconds"] * 1000 > int(variables["STREAM_MAAS_WORKER_STOP_GRACE_MS"])


def test_secrets_that_are_used_are_explained(manifests: dict[str, dict[str, Any]]) -> None:
    used = {
        source["secretRef"]["name"]
        for _, pod in pods(manifests)
        for container in pod["containers"]
        for source in container["envFrom"]
        if "secretRef" in source
    }
    explained = {secret["metadata"]["name"] for secret in documents(KUBERNETES / "secret.example.yaml")}
    assert used == explained == {"stream-maas", "stream-maas-operator"}


def test_selectors_select(manifests: dict[str, dict[str, Any]]) -> None:
    labels = manifests["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    assert manifests["StatefulSet"]["spec"]["selector"]["matchLabels"] == labels
    assert manifests["Service"]["spec"]["selector"] == labels
    assert manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert manifests["Service"]["metadata"]["name"] == manifests["StatefulSet"]["spec"]["serviceName"]
    assert manifests["Service"]["spec"]["clusterIP"] == "None"
    everything = manifests["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]
    for kind in ("StatefulSet", "Job"):
        assert everything.items() <= manifests[kind]["spec"]["template"]["metadata"]["labels"].items()


def test_scaling_follows_the_lag_of_our_group(manifests: dict[str, dict[str, Any]], variables: dict[str, str]) -> None:
    loaded = settings.load(environ=variables)
    spec = manifests["ScaledObject"]["spec"]
    assert spec["scaleTargetRef"]["name"] == manifests["StatefulSet"]["metadata"]["name"]
    assert spec["minReplicaCount"] >= 2
    assert spec["maxReplicaCount"] <= loaded.topics.partitions, "a worker more would sit idle"
    (trigger,) = spec["triggers"]
    metadata = trigger["metadata"]
    assert trigger["type"] == "kafka"
    assert metadata["consumerGroup"] == loaded.worker.app_id
    assert metadata["topic"] == f"{loaded.topics.prefix}.requests"
    assert metadata["bootstrapServers"] == loaded.kafka.bootstrap
    assert metadata["offsetResetPolicy"] == "earliest"
    authentication = manifests["TriggerAuthentication"]
    assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
    for reference in authentication["spec"]["secretTargetRef"]:
        assert reference["key"] in manifests["Secret"]["stringData"]


def test_network_lets_out_to_kafka_and_names_only(
    manifests: dict[str, dict[str, Any]], variables: dict[str, str]
) -> None:
    spec = manifests["NetworkPolicy"]["spec"]
    assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
    kafka_port = int(variables["STREAM_MAAS_BOOTSTRAP"].rpartition(":")[2])
    assert {port["port"] for rule in spec["egress"] for port in rule["ports"]} == {53, kafka_port}
    assert [port["port"] for rule in spec["ingress"] for port in rule["ports"]] == [
        int(variables["STREAM_MAAS_WORKER_WEB_PORT"])
    ]
    for rule in spec["egress"]:
        assert rule["to"], "an empty list would allow every address"
    for rule in spec["ingress"]:
        assert rule["from"], "an empty list would allow every address"


# --- deploy/acls.sh ---------------------------------------------------------------------------------------------


def acls(*arguments: str) -> subprocess.CompletedProcess[str]:
    script = ROOT / "deploy" / "acls.sh"
    return subprocess.run([script, *arguments], capture_output=True, text=True, check=False, timeout=30)


@pytest.mark.parametrize(
    "role", ["worker", "client", "dashboard", "monitor", "sealer", "witness", "auditor", "pruner", "operator"]
)
def test_acl_script_follows_the_topic_table(role: str) -> None:
    """Who may read and write a topic is said once, in the topic table."""
    allowed: dict[str, set[str]] = {"Read": set(), "Write": set()}
    for line in acls("--print", "--prefix", "acme").stdout.splitlines():
        if f"--allow-principal User:stream-maas-{role} " in line:
            for operation in {"Read", "Write"} & set(re.findall(r"--operation (\w+)", line)):
                allowed[operation] |= set(re.findall(r"--topic (\S+)", line))
    table = topics.table("acme")
    wanted = {
        "Read": {spec.name for spec in table if role in spec.read_by},
        "Write": {spec.name for spec in table if role in spec.written_by},
    }
    lanes = {"acme.requests."}  # a prefix: see the next test
    assert {operation: names - lanes for operation, names in allowed.items()} == wanted
    assert (lanes <= allowed["Read"]) is (role == "worker")
    assert (lanes <= allowed["Write"]) is (role == "client")


def test_acl_script_lets_the_operator_make_every_topic() -> None:
    lines = [line for line in acls("--print", "--prefix", "acme").stdout.splitlines() if "--operation Create" in line]
    assert all("User:stream-maas-operator " in line for line in lines)
    made = {name for line in lines for name in re.findall(r"--topic (\S+)", line)}
    assert made == {spec.name for spec in topics.table("acme")} | {"acme.requests."}


def test_acl_script_gives_little() -> None:
    lines = acls("--print").stdout.splitlines()
    assert lines
    for line in lines:
        assert line.startswith("kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --add --")
        if "--deny-principal" in line:
            continue
        assert "--add --allow-principal User:" in line
        more = "All|Alter|ClusterAction" if "User:stream-maas-pruner " in line else "All|Delete|Alter|ClusterAction"
        assert not re.search(rf"--operation ({more})\b", line)
        assert "*" not in line
        names = re.findall(r"--(?:topic|group|transactional-id) (\S+)", line)
        assert names or line.endswith("--operation Describe --cluster ")
        assert any(name.endswith((".", "-")) for name in names) is ("--resource-pattern-type prefixed" in line)
        assert len({name.endswith((".", "-")) for name in names}) <= 1


def test_acl_script_denies_what_nobody_may() -> None:
    """A denial beats every grant: for each operation and topic all roles are named but those that need it."""
    denied: dict[tuple[str, str], set[str]] = {}
    for line in acls("--print", "--prefix", "acme").stdout.splitlines():
        if (found := re.search(r"--deny-principal User:stream-maas-(\w+) ", line)) is not None:
            for operation in re.findall(r"--operation (\w+)", line):
                for topic in re.findall(r"--topic (\S+)", line):
                    denied.setdefault((operation, topic), set()).add(found[1])
    roles = {role for spec in topics.table("acme") for role in (*spec.written_by, *spec.read_by)}
    for spec in topics.table("acme"):
        if not spec.append_only:
            assert not any(topic == spec.name for _, topic in denied)
            continue
        pruners = {"pruner"} if spec.name == "acme.audit" else set()
        assert roles - denied["Delete", spec.name] <= {"pruner"} >= pruners
        assert denied["Alter", spec.name] == denied["AlterConfigs", spec.name] == roles
        if spec.name != "acme.monitor.journal":
            assert denied["Write", spec.name] == roles - set(spec.written_by)


def test_acl_script_denies_nothing_that_a_second_role_of_a_principal_needs() -> None:
    lines = acls("--print", "--pruner", "User:one", "--operator", "User:one").stdout.splitlines()
    assert not [line for line in lines if "--deny-principal User:one " in line and "Delete" in line]


def test_acl_script_runs_the_tool_it_is_given(tmp_path: Path) -> None:
    tool = tmp_path / "kafka-acls.sh"
    tool.write_text('#!/bin/sh\necho "called $*"\n')
    tool.chmod(0o755)
    done = subprocess.run(
        [ROOT / "deploy" / "acls.sh", "--command-config", "admin.properties"],
        env=os.environ | {"KAFKA_ACLS": str(tool)}, capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    calls = done.stdout.splitlines()
    assert len(calls) == len(acls("--print").stdout.splitlines())
    assert all("--command-config admin.properties --add" in call for call in calls)


def test_acl_script_refuses_what_it_does_not_know() -> None:
    assert acls("--everything").returncode == 2
    assert acls("--prefix").returncode == 2


@pytest.mark.parametrize("script", ["deploy/acls.sh", ".ci/run"])
def test_scripts_are_shell(script: str) -> None:
    path = ROOT / script
    assert os.access(path, os.X_OK)
    assert subprocess.run(["bash", "-n", path], check=False, timeout=30).returncode == 0
    assert "set -euo pipefail" in path.read_text(encoding="utf-8")


# --- deploy/prometheus, deploy/grafana --------------------------------------------------------------------------


def test_alerts_and_dashboard_use_metrics_that_exist() -> None:
    families = [
        family
        for metrics in (Metrics(), MonitorMetrics(), FollowerMetrics("sealer"))
        for family in metrics.registry.collect()
    ]
    exported = {sample.name for family in families for sample in family.samples}
    kinds = {family.name: family.type for family in families}
    exported |= {f"{name}{end}" for name, kind in kinds.items() for end in SERIES.get(kind, ())}
    rules = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text(encoding="utf-8"))
    dashboard = json.loads((ROOT / "deploy/grafana/dashboards/stream_maas.json").read_text(encoding="utf-8"))
    expressions = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    recorded = {rule["record"] for group in rules["groups"] for rule in group["rules"] if "record" in rule}
    expressions += [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    names = {name for expression in expressions for name in re.findall(r"[a-z_:]*\bstream_maas_[\w:]+", expression)}
    assert {name for name in names if ":" in name} <= recorded
    used = {name for name in names if ":" not in name}
    assert len(used) > 10
    assert used <= exported
    codes = {
        code
        for expression in expressions
        for match in re.findall(r'code=~"([^"]+)"', expression)
        for code in match.split("|")
    }
    assert codes
    assert codes <= set(ERRORS_BY_CODE)


@pytest.fixture(scope="module")
def promtool() -> str:
    """Prometheus' own checker. A CI machine must have it; elsewhere its tests are skipped."""
    path = shutil.which("promtool")
    if path is None:
        (pytest.fail if IN_CI else pytest.skip)("no promtool on the PATH (Debian: apt-get install prometheus)")
    assert path is not None
    return path


@pytest.mark.parametrize("check", ["check config prometheus.yml", "check rules rules.yml", "test rules tests.yml"])
def test_prometheus_takes_the_rules_and_they_fire(promtool: str, check: str) -> None:
    done = subprocess.run(
        [promtool, *check.split()],
        cwd=ROOT / "deploy/prometheus",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test_or_is_plain() -> None:
    """Burn rates, absence and lag are easily wrong without being noticed, so promtool runs them on series."""
    tests = (ROOT / "deploy/prometheus/tests.yml").read_text(encoding="utf-8")
    for name in ("ErrorBudgetFast", "ErrorBudgetSlow", "AnswersLate", "MonitorSilent"):
        assert f"alertname: StreamMaas{name}" in tests


def test_prometheus_scrapes_the_workers(compose: dict[str, Any]) -> None:
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    (job,) = config["scrape_configs"]
    (discovery,) = job["dns_sd_configs"]
    for name in discovery["names"]:
        assert compose["services"][name]["environment"]["STREAM_MAAS_WORKER_WEB_PORT"] == str(discovery["port"])
    mounted = {volume.split(":")[1] for volume in compose["services"]["prometheus"]["volumes"]}
    assert {f"/etc/prometheus/{name}" for name in (*config["rule_files"], "prometheus.yml")} == mounted


# --- deploy/kubernetes/ledger -----------------------------------------------------------------------------------


def test_the_sealer_s_manifest_fits_the_others(manifests: dict[str, dict[str, Any]]) -> None:
    folder = KUBERNETES / "ledger"
    (kustomization,) = documents(folder / "kustomization.yaml")
    (sealer,) = documents(folder / "sealer.yaml")
    assert kustomization["resources"] == ["sealer.yaml", "service.yaml"]
    (service,) = documents(folder / "service.yaml")
    assert service["metadata"]["name"] == sealer["spec"]["serviceName"]
    assert service["spec"]["selector"] == sealer["spec"]["selector"]["matchLabels"]
    assert kustomization["images"] == [{"name": "stream-maas", "newTag": __version__}]
    assert kustomization["namespace"] == manifests["Kustomization"]["namespace"]
    pod = sealer["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert run_help(container["args"]).returncode == 0
    worker = manifests["StatefulSet"]["spec"]["template"]["spec"]
    for name in ("serviceAccountName", "securityContext", "automountServiceAccountToken"):
        assert pod[name] == worker[name]
    assert container["securityContext"] == worker["containers"][0]["securityContext"]
    everything = manifests["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]
    labels = sealer["spec"]["template"]["metadata"]["labels"]
    assert everything.items() <= labels.items()
    assert labels == sealer["spec"]["selector"]["matchLabels"]
    assert labels != manifests["StatefulSet"]["spec"]["selector"]["matchLabels"], "the worker's set must not own it"
    environment = {entry["name"]: entry.get("value", "sealer-0") for entry in container["env"]}
    loaded = settings.load(environ=manifests["ConfigMap"]["data"] | environment)
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert any(loaded.ledger.folder.startswith(f"{path}/") for path in mounts)
    assert any(loaded.ledger.key_file.startswith(f"{path}/") for path in mounts)
    claims = [claim["metadata"] for claim in sealer["spec"]["volumeClaimTemplates"]]
    volumes = {volume["name"] for volume in (*pod["volumes"], *claims)}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes


# --- deploy/kubernetes/observability ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def observability() -> dict[tuple[str, str], dict[str, Any]]:
    """(kind, name) -> manifest of the monitor and the live page."""
    folder = KUBERNETES / "observability"
    (kustomization,) = documents(folder / "kustomization.yaml")
    assert set(kustomization["resources"]) == {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
    assert kustomization["images"] == [{"name": "stream-maas", "newTag": __version__}]
    found = [document for name in kustomization["resources"] for document in documents(folder / name)]
    return {(document["kind"], document["metadata"]["name"]): document for document in found}


@pytest.mark.parametrize(
    ("kind", "role", "port"), [("StatefulSet", "monitor", "web"), ("Deployment", "dashboard", "page")]
)
def test_monitor_and_page_fit_the_others(
    manifests: dict[str, dict[str, Any]],
    observability: dict[tuple[str, str], dict[str, Any]],
    kind: str,
    role: str,
    port: str,
) -> None:
    spec = observability[kind, f"stream-maas-{role}"]["spec"]
    pod, worker = spec["template"]["spec"], manifests["StatefulSet"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert run_help(container["args"]).returncode == 0
    for name in ("serviceAccountName", "securityContext", "automountServiceAccountToken"):
        assert pod[name] == worker[name]
    assert container["securityContext"] == worker["containers"][0]["securityContext"]
    assert "memory" in container["resources"]["limits"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    labels = spec["template"]["metadata"]["labels"]
    everything = manifests["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]
    assert everything.items() <= labels.items()
    assert labels == spec["selector"]["matchLabels"] == everything | {"app.kubernetes.io/component": role}
    service = observability["Service", f"stream-maas-{role}"]["spec"]
    assert service["selector"] == labels
    assert [entry["targetPort"] for entry in service["ports"]] == [port] == [e["name"] for e in container["ports"]]
    for probe in ("livenessProbe", "readinessProbe"):
        (asked,) = (container[probe][how] for how in ("httpGet", "tcpSocket") if how in container[probe])
        assert asked["port"] == port
    assert pod["terminationGracePeriodSeconds"] * 1000 > DEFAULTS.worker.stop_grace_ms


@pytest.mark.parametrize(("kind", "role"), [("StatefulSet", "monitor"), ("Deployment", "dashboard")])
def test_monitor_and_page_get_settings_that_load(
    manifests: dict[str, dict[str, Any]], observability: dict[tuple[str, str], dict[str, Any]], kind: str, role: str
) -> None:
    """What kustomization.yaml says about secrets is enough, and no name in it is unknown."""
    told = (KUBERNETES / "observability" / "kustomization.yaml").read_text(encoding="utf-8")
    secrets = dict(re.findall(r"--from-literal=(STREAM_MAAS_\w+)=(\S+)", told))
    (container,) = observability[kind, f"stream-maas-{role}"]["spec"]["template"]["spec"]["containers"]
    used = [source["secretRef"]["name"] for source in container["envFrom"] if "secretRef" in source]
    assert all(name in told or name.replace(role, "$who") in told for name in used)
    environment = {entry["name"]: entry.get("value", f"stream-maas-{role}-0") for entry in container["env"]}
    variables = manifests["ConfigMap"]["data"] | dict.fromkeys(secrets, "x" * 48) | environment
    assert set(variables) <= KNOWN_VARIABLES
    loaded = settings.load(environ=variables)
    if role == "dashboard":
        assert Access(loaded.dashboard).open_to_this_machine is False
        assert container["ports"][0]["containerPort"] == loaded.dashboard.port
    else:
        assert loaded.worker.instance == "stream-maas-monitor-0"
        assert container["ports"][0]["containerPort"] == loaded.worker.web_port


def test_one_monitor_is_always_left(observability: dict[tuple[str, str], dict[str, Any]]) -> None:
    monitor = observability["StatefulSet", "stream-maas-monitor"]["spec"]
    budget = observability["PodDisruptionBudget", "stream-maas-monitor"]["spec"]
    assert monitor["replicas"] >= 2
    assert budget["maxUnavailable"] < monitor["replicas"]
    assert budget["selector"] == monitor["selector"]


def test_monitor_and_page_reach_and_are_reached_by_name(observability: dict[tuple[str, str], dict[str, Any]]) -> None:
    page = observability["NetworkPolicy", "stream-maas-dashboard"]["spec"]
    monitor = observability["NetworkPolicy", "stream-maas-monitor"]["spec"]
    assert page["policyTypes"] == ["Ingress"]
    assert monitor["policyTypes"] == ["Egress"]
    (container,) = observability["Deployment", "stream-maas-dashboard"]["spec"]["template"]["spec"]["containers"]
    assert [port["port"] for rule in page["ingress"] for port in rule["ports"]] == [
        container["ports"][0]["containerPort"]
    ]
    (container,) = observability["StatefulSet", "stream-maas-monitor"]["spec"]["template"]["spec"]["containers"]
    (url,) = (entry["value"] for entry in container["env"] if entry["name"].endswith("ALERTMANAGER_URL"))
    assert [str(port["port"]) for rule in monitor["egress"] for port in rule["ports"]] == [url.rpartition(":")[2]]
    for rule in (*page["ingress"], *monitor["egress"]):
        assert rule.get("from") or rule.get("to"), "an empty list would allow every address"
    for policy in (page, monitor):
        pods = [manifest["spec"]["template"] for (kind, _), manifest in observability.items() if kind in WORKLOADS]
        assert sum(policy["podSelector"]["matchLabels"] == pod["metadata"]["labels"] for pod in pods) == 1
