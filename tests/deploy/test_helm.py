"""The Helm chart makes objects that Kubernetes takes and that fit the program; wrong values are refused by name."""

import json
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
import yaml

from agent.app import create_app
from agent.cli import app
from agent.engines.loopback import create
from agent.engines.personaplex.server import ServerOptions
from agent.engines.personaplex.server import create_app as create_engine_app
from agent.settings import PREFIX, Settings, load
from tests.deploy.chart import CHART, HELM, README, SCHEMA, Json, Refused, render, settings_schema, table
from tests.deploy.test_containers import PROJECT, last
from tests.deploy.test_single_host import LEAST_MORE_S, answers

pytestmark = pytest.mark.skipif(not HELM, reason="Helm is not here: https://helm.sh/docs/intro/install")

KUBERNETES = ("1.30", "1.37")
"""The oldest that Chart.yaml allows, and the newest whose schemas there are."""
NOT_KUBERNETES = {"HTTPRoute", "PodMonitor"}
"""Kinds of others, whose schemas are not at hand."""

MINIMAL: Json = {
    "host": "calls.example.com",
    "image": {"repository": "registry.example.com/parley"},
    "secret": {"existing": "parley-secret"},
}
FULL: Json = MINIMAL | {
    "imagePullSecrets": [{"name": "registry"}],
    "settings": {
        "SSL_CERT_FILE": "/authority/ca.crt",
        "PARLEY_DRAIN_S": 86_400,
        "PARLEY_TIME_ZONE": "Europe/Berlin",
        "PARLEY_WORKERS": 4,
    }
    | {"PARLEY_TRUSTED_PROXIES": "10.0.0.0/8", "PARLEY_OIDC_ONLY": False, "PARLEY_KEEP_CALLS_DAYS": 36_500},
    "secret": {
        "values": {
            "PARLEY_DATABASE_URL": "postgresql+psycopg://parley:secret@db.example.com/parley",
            "PARLEY_TWILIO_AUTH_TOKEN": "new,old",
            "PARLEY_SESSION_SECRET": "s" * 64,
            "PARLEY_METRICS_TOKEN": "m" * 64,
            "PARLEY_ENGINE_TOKEN": 'e"\n$' * 16,
            "HF_TOKEN": "hf_token",
        }
    },
    "gateway": {"autoscaling": {"enabled": True, "calls": 20}, "podAnnotations": {"a": "b"}, "affinity": {}},
    "scorer": {"separate": True, "replicas": 2},
    "recordings": {"storageClass": "shared", "size": "1.5Ti"},
    "ingress": {"enabled": True, "className": "nginx", "tlsSecret": "certificate"},
    "httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]},
    "engine": {
        "mode": "pods",
        "replicas": 3,
        "image": {"repository": "registry.example.com/parley-engine", "tag": "1@sha256:" + "0" * 64},
        "settings": {"PARLEY_ENGINE_KV": "fp8", "PARLEY_ENGINE_SLOTS": 40, "PARLEY_ENGINE_DRAIN_S": 3_600.5},
        "modelClaim": "model",
        "cache": {"size": ""},
        "runtimeClassName": "nvidia",
        "nodeSelector": {"gpu": "h100"},
    },
    "networkPolicy": {
        "enabled": True,
        "fromIngress": [{"namespaceSelector": {"matchLabels": {"name": "ingress"}}}],
        "fromMetrics": [{"podSelector": {}}],
    },
    "metrics": {"podMonitor": True, "labels": {"release": "prometheus"}},
    "extraVolumes": [{"name": "authority", "configMap": {"name": "authority"}}],
    "extraVolumeMounts": [{"name": "authority", "mountPath": "/authority", "readOnly": True}],
}
ONE_POD: Json = MINIMAL | {
    "gateway": {"replicas": 1},
    "recordings": {"accessMode": "ReadWriteOnce"},
    "engine": {"mode": "pods", "image": {"repository": "registry.example.com/parley-engine"}},
    "networkPolicy": {"enabled": True},
}
ALL = pytest.mark.parametrize("values", [MINIMAL, FULL, ONE_POD], ids=["minimal", "full", "one-pod"])


@cache
def _rendered(values: str) -> list[Json]:
    return render(json.loads(values))


def objects(values: Json, *kinds: str) -> list[Json]:
    return [each for each in _rendered(json.dumps(values)) if not kinds or each["kind"] in kinds]


def named(values: Json, kind: str, name: str) -> Json:
    found = [each for each in objects(values, kind) if each["metadata"]["name"] == name]
    assert len(found) == 1, f"{kind} {name}"
    return found[0]


def pods(values: Json) -> list[tuple[str, Json]]:
    """Return the pods' specs, each with the name of what makes them."""
    return [
        (each["metadata"]["name"], each["spec"]["template"]["spec"])
        for each in objects(values, "Deployment", "StatefulSet", "Job")
    ]


def variables(container: Json) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in container["env"]}


# What Kubernetes and Helm say


def test_helm_has_nothing_to_remark(tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(FULL))
    command = [HELM, "lint", "--strict", CHART, "--values", values]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout


@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_takes_every_object(version: str) -> None:
    kinds = set()
    for each in objects(FULL) + objects(ONE_POD):
        kinds.add(each["kind"])
        if each["kind"] not in NOT_KUBERNETES:
            kubernetes_validate.validate(each, version, strict=True)
    assert kinds >= NOT_KUBERNETES | {"Deployment", "StatefulSet", "Ingress", "NetworkPolicy", "Job"}


@ALL
def test_names_are_given_once_and_referred_to_rightly(values: Json) -> None:
    every = [(each["kind"], each["metadata"]["name"]) for each in objects(values)]
    assert len(every) == len(set(every))
    for each in objects(values, "Ingress"):
        for path in each["spec"]["rules"][0]["http"]["paths"]:
            assert ("Service", path["backend"]["service"]["name"]) in every
    for name, pod in pods(values):
        paths = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
        assert name == "parley-migrate" or last("parley-engine" if "engine" in name else "parley", "WORKDIR") in paths
        mounted = {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
        claimed = {"cache"} if name.endswith("-engines") and values is ONE_POD else set()
        assert mounted == {volume["name"] for volume in pod["volumes"]} | claimed


def test_labels_lead_services_and_budgets_to_their_pods_alone() -> None:
    labels = {
        each["metadata"]["name"]: each["spec"]["template"]["metadata"]["labels"]
        for each in objects(FULL, "Deployment", "StatefulSet", "Job")
    }
    for each in objects(FULL, "Service", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor"):
        spec = each["spec"]
        selector = spec.get("podSelector") or spec.get("selector", {})
        wanted = selector.get("matchLabels", selector)
        met = [name for name, has in labels.items() if wanted and wanted.items() <= has.items()]
        name = each["metadata"]["name"]
        expected = {"parley-nobody": [], "parley-gateway": ["parley"], "parley-engine": ["parley-engines"]}
        assert met == expected.get(name, [name])


def test_other_releases_get_names_of_their_own() -> None:
    names = {each["metadata"]["name"] for each in render(FULL, release="north")}
    assert all(name.startswith("north-parley") for name in names)


# What the program says


@ALL
def test_variables_are_settings_with_values_that_load(values: Json, monkeypatch: pytest.MonkeyPatch) -> None:
    for _, pod in pods(values):
        given = variables(pod["containers"][0])
        ours = {name: value for name, value in given.items() if name.startswith(PREFIX)}
        assert {name.removeprefix(PREFIX).lower() for name in ours} <= set(Settings.model_fields)
        with monkeypatch.context() as patch:
            for name, value in (ours | {"PARLEY_SESSION_SECRET": "s" * 64}).items():
                patch.setenv(name, value)
            load()


def test_values_arrive_as_they_were_written() -> None:
    given = variables(dict(pods(FULL))["parley"]["containers"][0])
    assert given["PARLEY_DRAIN_S"] == "86400"
    assert given["PARLEY_OIDC_ONLY"] == "false"
    assert given["PARLEY_PUBLIC_URL"] == "https://calls.example.com"
    assert given["PARLEY_SCORE_CALLS"] == "false"
    assert variables(dict(pods(MINIMAL))["parley"]["containers"][0])["PARLEY_SCORE_CALLS"] == "true"
    assert named(FULL, "Secret", "parley")["stringData"] == FULL["secret"]["values"]


def test_gateways_know_every_engine() -> None:
    given = variables(dict(pods(FULL))["parley"]["containers"][0])
    assert given["PARLEY_ENGINE"] == "remote"
    service = named(FULL, "Service", named(FULL, "StatefulSet", "parley-engines")["spec"]["serviceName"])
    assert service["spec"]["clusterIP"] == "None", "a name that leads to each of them, not to any"
    assert given["PARLEY_ENGINE_URL"] == f"ws://{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"


def test_gateways_know_where_the_others_are_and_get_there() -> None:
    container = dict(pods(FULL))["parley"]["containers"][0]
    [address] = [each for each in container["env"] if each["name"] == "PARLEY_PEER_ADDRESS"]
    assert address["valueFrom"] == {"fieldRef": {"fieldPath": "status.podIP"}}
    policy = named(FULL, "NetworkPolicy", "parley")["spec"]
    assert {"podSelector": policy["podSelector"]} in policy["ingress"][0]["from"]


@ALL
def test_commands_and_options_exist(values: Json) -> None:
    for _, pod in pods(values):
        command: Any = typer.main.get_command(app)
        options = [word for word in pod["containers"][0]["args"] if word.startswith("--")]
        for word in pod["containers"][0]["args"]:
            if word.startswith("-") or not hasattr(command, "commands"):
                break
            command = command.commands[word]
        assert set(options) <= {option for parameter in command.params for option in parameter.opts}


def test_probes_and_closed_paths_are_routes(tmp_path: Path) -> None:
    gateway = create_app(load(data_dir=tmp_path, engine="loopback"))
    engine = create_engine_app(create({}), list, ServerOptions())
    for name, pod in pods(FULL):
        container = pod["containers"][0]
        application = {"parley": gateway, "parley-engines": engine}.get(name)
        probes = [container[kind] for kind in ("startupProbe", "livenessProbe", "readinessProbe") if kind in container]
        assert len(probes) == (3 if application else 0)
        for probe in probes:
            assert answers(application, probe["httpGet"]["path"])  # pyright: ignore[reportArgumentType]
            assert probe["httpGet"]["port"] in {port["name"] for port in container["ports"]}
    assert all(answers(gateway, path) for path in ("/ready", "/metrics"))


def test_what_is_for_the_cluster_leads_nowhere_from_outside() -> None:
    paths = named(FULL, "Ingress", "parley")["spec"]["rules"][0]["http"]["paths"]
    leads = {path["path"]: path["backend"]["service"]["name"] for path in paths}
    assert leads == {"/ready": "parley-nobody", "/metrics": "parley-nobody", "/peers": "parley-nobody", "/": "parley"}
    closed, open_ = named(FULL, "HTTPRoute", "parley")["spec"]["rules"]
    assert {match["path"]["value"] for match in closed["matches"]} == set(leads) - {"/"}
    assert [rule["backendRefs"][0]["name"] for rule in (closed, open_)] == ["parley-nobody", "parley"]
    assert "selector" not in named(FULL, "Service", "parley-nobody")["spec"]


@ALL
def test_a_stop_leaves_time_for_the_calls(values: Json) -> None:
    for name, pod in pods(values):
        container = pod["containers"][0]
        setting = {"parley": "PARLEY_DRAIN_S", "parley-engines": "PARLEY_ENGINE_DRAIN_S"}.get(name)
        if setting:
            asleep_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
            drain_s = float(variables(container)[setting])
            assert pod["terminationGracePeriodSeconds"] >= asleep_s + drain_s + LEAST_MORE_S


@ALL
def test_pods_are_nobody_and_write_where_they_may(values: Json) -> None:
    """As the profile `restricted` of Kubernetes' pod security wants it, and what Parley wants beside."""
    for _, pod in pods(values):
        container = pod["containers"][0]
        assert pod["enableServiceLinks"] is False
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"]
        assert f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['fsGroup']}" == last("parley", "USER")
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}
        assert "memory" in container["resources"]["limits"]


def test_a_gateway_is_replaced_before_it_goes_unless_its_claim_is_for_one() -> None:
    strategy = named(MINIMAL, "Deployment", "parley")["spec"]["strategy"]
    assert strategy == {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    assert named(ONE_POD, "Deployment", "parley")["spec"]["strategy"] == {"type": "Recreate"}


def test_the_migration_needs_nothing_that_comes_after_it() -> None:
    for values in (MINIMAL, FULL):
        hooks = {
            (each["kind"], each["metadata"]["name"]): int(each["metadata"]["annotations"].get("helm.sh/hook-weight", 0))
            for each in objects(values)
            if "helm.sh/hook" in each["metadata"].get("annotations", {})
        }
        [variable] = dict(pods(values))["parley-migrate"]["containers"][0]["env"]
        secret = "Secret", variable["valueFrom"]["secretKeyRef"]["name"]
        if values is MINIMAL:
            assert secret == ("Secret", "parley-secret")
        else:
            assert hooks[secret] < hooks["Job", "parley-migrate"]


def test_engines_know_their_own_secrets_alone() -> None:
    container = dict(pods(FULL))["parley-engines"]["containers"][0]
    assert "envFrom" not in container
    referred = {each["name"] for each in container["env"] if "secretKeyRef" in each.get("valueFrom", {})}
    assert referred == {"PARLEY_ENGINE_TOKEN", "HF_TOKEN"}
    assert variables(container)["PARLEY_ENGINE_CHECKPOINT"] == "/model"


# What a person gets wrong

SECRETS = FULL["secret"]["values"]


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"host": ""}, "host:"),
        ({"host": "https://calls.example.com"}, "host:"),
        ({"image": {"repository": ""}}, "image.repository:"),
        ({"gatewya": {}}, "gatewya"),
        ({"gateway": {"replicas": 0}}, "gateway.replicas:"),
        ({"settings": {"PARLEY_DRIAN_S": 60}}, "PARLEY_DRIAN_S"),
        ({"settings": {"PARLEY_DRAIN_S": None}}, "PARLEY_DRAIN_S"),
        ({"settings": {"PARLEY_DRAIN_S": "two minutes"}}, "settings.PARLEY_DRAIN_S:"),
        ({"settings": {"PARLEY_WORKERS": 65}}, "settings.PARLEY_WORKERS:"),
        ({"settings": {"PARLEY_LOG_LEVEL": "loud"}}, "settings.PARLEY_LOG_LEVEL:"),
        ({"settings": {"PARLEY_TWILIO_AUTH_TOKEN": "secret"}}, "PARLEY_TWILIO_AUTH_TOKEN"),
        ({"settings": {"PARLEY_PORT": 80}}, "PARLEY_PORT"),
        ({"secret": {"existing": "parley", "values": SECRETS}}, "secret.existing"),
        ({"secret": {}}, "secret.values.PARLEY_DATABASE_URL:"),
        ({"secret": {"values": SECRETS | {"PARLEY_SESSION_SECRET": "short"}}}, "secret.values.PARLEY_SESSION_SECRET:"),
        ({"secret": {"values": SECRETS | {"PARLEY_DATABASE_URL": "sqlite+aiosqlite:///x"}}}, "PARLEY_DATABASE_URL:"),
        ({"recordings": {"accessMode": "ReadWriteOnce"}}, "recordings.accessMode:"),
        ({"recordings": {"size": "a lot"}}, "recordings.size:"),
        ({"engine": {"mode": "pods"}}, "engine.image.repository:"),
        ({"engine": FULL["engine"], "settings": {"PARLEY_ENGINE": "cascade"}}, "settings.PARLEY_ENGINE:"),
        ({"gateway": {"replicas": 3, "autoscaling": {"enabled": True, "maxReplicas": 2}}}, "autoscaling.maxReplicas:"),
        ({"gateway": {"autoscaling": {"enabled": True, "cpu": 0}}}, "gateway.autoscaling:"),
        ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs:"),
    ],
    ids=lambda given: given if isinstance(given, str) else None,
)
def test_a_wrong_value_is_named(changes: Json, names: str) -> None:
    with pytest.raises(Refused) as refused:
        render(MINIMAL, changes)
    assert names in str(refused.value)


# What follows from other files


def test_the_chart_takes_images_of_this_version() -> None:
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == PROJECT["project"]["version"]


def test_the_schema_knows_the_settings() -> None:
    written = json.loads(SCHEMA.read_text())["definitions"]
    for name, schema in settings_schema().items():
        assert written[name] == schema, "settings have changed: python -m tests.deploy.chart"


def test_the_readme_lists_the_values() -> None:
    assert README.read_text().endswith(table()), "values.yaml has changed: python -m tests.deploy.chart"


def test_the_values_of_the_documentation_render() -> None:
    page = (CHART.parents[2] / "docs" / "kubernetes.md").read_text()
    plain, engines = map(yaml.safe_load, re.findall(r"(?s)```yaml\n(.*?)```", page))
    kinds = [each["kind"] for each in render(plain, engines)]
    assert {"Deployment", "StatefulSet", "Ingress"} <= set(kinds)
