"""What the chart renders for which values, and what it refuses."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import typer
from testbed.binaries import KUBERNETES_VERSION
from testbed.chart import (
    CHART,
    INSTALL,
    POLICY,
    NotRendered,
    Object,
    documents_of,
    install_manifest,
    policy_manifest,
    rendered,
)

from scaling_operator.kube.main import app

Values = Mapping[str, Any]
SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def only(objects: list[Object], kind: str, name: str = "scaling-operator") -> Object:
    (document,) = [o for o in objects if o["kind"] == kind and o["metadata"]["name"] == name]
    return document


def pod_of(objects: list[Object]) -> Object:
    (deployment,) = [o for o in objects if o["kind"] == "Deployment"]
    return deployment["spec"]["template"]["spec"]


def arguments_of(objects: list[Object]) -> list[str]:
    return pod_of(objects)["containers"][0]["args"]


def names_of(objects: list[Object], kind: str) -> set[str]:
    return {o["metadata"]["name"] for o in objects if o["kind"] == kind}


def rules_of(role: Object) -> set[tuple[str, str]]:
    return {
        (resource, verb)
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_helm_finds_no_fault(helm: Path) -> None:
    command = [str(helm), "lint", "--strict", "--kube-version", KUBERNETES_VERSION, str(CHART)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_manifests_for_kubectl_are_in_step_with_the_chart(helm: Path) -> None:
    assert INSTALL.read_text() == install_manifest(helm), "run `make manifests`"
    assert POLICY.read_text() == policy_manifest(helm), "run `make manifests`"


def test_no_manifest_holds_a_key() -> None:
    secrets = [o for o in documents_of(INSTALL.read_text()) if o["kind"] == "Secret"]
    assert [o["metadata"]["name"] for o in secrets] == ["scaling-operator-reports"]
    assert all(not o.get("data") and not o.get("stringData") for o in secrets)


def sections(schema: Mapping[str, Any], path: str = "") -> dict[str, Mapping[str, Any]]:
    """Every value that the schema knows, by its path."""
    by_path: dict[str, Mapping[str, Any]] = {}
    for name, below in schema.get("properties", {}).items():
        at = f"{path}.{name}".lstrip(".")
        by_path[at] = below
        if below.get("additionalProperties") is False:
            by_path |= sections(below, at)
    return by_path


def values_by_path(values: Mapping[str, Any], path: str = "") -> set[str]:
    paths: set[str] = set()
    for name, value in values.items():
        at = f"{path}.{name}".lstrip(".")
        paths.add(at)
        if isinstance(value, dict) and sections(SCHEMA).get(at, {}).get("properties"):
            paths |= values_by_path(cast("Mapping[str, Any]", value), at)
    return paths


def test_every_value_is_known_to_the_schema_and_explained() -> None:
    text = (CHART / "values.yaml").read_text()
    (values,) = documents_of(text)
    schema_paths = {path for path in sections(SCHEMA) if path != "global"}
    assert values_by_path(values) - {"resourcePolicy.spec.shapes"} == schema_paths
    # A section's own line needs no explanation where each value in it has one.
    for path in schema_paths:
        if not any(other_path.startswith(f"{path}.") for other_path in schema_paths):
            name = path.rsplit(".", 1)[-1]
            explained = rf"^ *# -- (?:.*\n *# )*?.*\n *{name}:"
            assert re.search(explained, text, re.MULTILINE), path


REFUSED: list[Any] = [
    pytest.param({"replicas": "two"}, "'/replicas': got string, want integer", id="text"),
    pytest.param({"replica": 2}, "additional properties 'replica' not allowed", id="a typo"),
    pytest.param({"reports": {"prot": 1}}, "'/reports': additional properties", id="one below"),
    pytest.param({"trials": {"keepFailedPods": "1d"}}, "/trials/keepFailedPods", id="no Go unit"),
    pytest.param({"trials": {"workload": "cronjob"}}, "'pod', 'job'", id="no such kind"),
    pytest.param({"reports": {"url": "http://reports"}}, "/reports/url", id="without TLS"),
    pytest.param({"watchNamespaces": "team"}, "got string, want array", id="no list"),
    pytest.param({"watchNamespaces": ["Team"]}, "/watchNamespaces/0", id="no namespace's name"),
    pytest.param({"image": {"pullPolicy": "Often"}}, "/image/pullPolicy", id="a policy"),
    pytest.param({"image": {"digest": "1234"}}, "/image/digest", id="no digest"),
    pytest.param({"trials": {"allowedSecrets": [""]}}, "/trials/allowedSecrets/0", id="no name"),
    pytest.param({"trials": {"diskLimit": "much"}}, "/trials/diskLimit", id="no quantity"),
    pytest.param({"healthPort": 80}, "/healthPort", id="a port of root's"),
    pytest.param({"resourcePolicy": {"spec": {"shapes": []}}}, "/resourcePolicy", id="no shape"),
    pytest.param(
        {"podDisruptionBudget": {"enabled": True}},
        "podDisruptionBudget.enabled needs replicas of 2 or more",
        id="a budget that holds up every drain",
    ),
    pytest.param({"trials": {"queue": "q"}}, "it needs trials.workload job", id="a queue of pods"),
    pytest.param(
        {"metrics": {"service": {"enabled": False}, "serviceMonitor": {"enabled": True}}},
        "metrics.serviceMonitor.enabled needs metrics.service.enabled",
        id="a monitor of no Service",
    ),
    pytest.param(
        {"metrics": {"podMonitor": {"enabled": True}}},
        "metrics.podMonitor.enabled needs metrics.podMonitor.authorization",
        id="a monitor without a token",
    ),
    pytest.param({"networkPolicy": {"dnsPorts": []}}, "/networkPolicy/dnsPorts", id="no port"),
    pytest.param(
        {"reports": {"clusterIP": "None"}}, "it needs reports.url", id="a headless Service"
    ),
    pytest.param(
        {"serviceAccount": {"create": False}}, "serviceAccount.name is needed", id="no account"
    ),
]


@pytest.mark.parametrize(("values", "complaint"), REFUSED)
def test_wrong_values_are_refused_by_name(helm: Path, values: Values, complaint: str) -> None:
    with pytest.raises(NotRendered, match=re.escape(complaint)):
        rendered(helm, values)


ARGUMENTS: list[Any] = [
    pytest.param({}, "--trainer-image=scaling-trainer:0.1.0", id="the chart's version"),
    pytest.param({"trainerImage": "r.example/t@sha256:1"}, "--trainer-image=r.example/t@sha256:1"),
    pytest.param({"trials": {"workload": "job"}}, "--workload=job"),
    pytest.param({"trials": {"workload": "job", "queue": "team"}}, "--queue=team"),
    pytest.param({"trials": {"imagePullPolicy": "Never"}}, "--image-pull-policy=Never"),
    pytest.param({"trials": {"imagePullSecrets": ["a", "b"]}}, "--image-pull-secret=b"),
    pytest.param({"trials": {"allowedServiceAccounts": ["s3"]}}, "--allowed-service-account=s3"),
    pytest.param({}, "--allowed-secret=*", id="all Secrets, unless somebody says which"),
    pytest.param({"trials": {"allowedSecrets": ["hf-*"]}}, "--allowed-secret=hf-*"),
    pytest.param({"trials": {"allowedSecrets": []}}, "--allowed-secret=", id="no Secret"),
    pytest.param({"trials": {"allowedClaims": ["data"]}}, "--allowed-claim=data"),
    pytest.param({"trials": {"allowedTolerations": ["spot"]}}, "--allowed-toleration=spot"),
    pytest.param({"trials": {"allowedNodeLabels": ["gpu"]}}, "--allowed-node-label=gpu"),
    pytest.param({}, "--disk-limit=50Gi", id="a bound for folders on a node's disk"),
    pytest.param({"trials": {"diskLimit": "1Ti"}}, "--disk-limit=1Ti"),
    pytest.param({"trials": {"keepFailedPods": "5m"}}, "--keep-failed-pods=5m"),
    pytest.param({"trials": {"imagePullGrace": "1m"}}, "--image-pull-grace=1m"),
    pytest.param({"trials": {"noResultGrace": "5s"}}, "--no-result-grace=5s"),
    pytest.param({"trials": {"retryBackoff": "1s"}}, "--retry-backoff=1s"),
    pytest.param({"resync": "2m"}, "--resync=2m"),
    pytest.param({"watchNamespaces": ["a", "b"]}, "--watch-namespace=b"),
    pytest.param({"healthPort": 8081}, "--health-port=8081"),
    pytest.param({"metrics": {"port": 9091}}, "--metrics-port=9091"),
    pytest.param({}, "--metrics-secure", id="metrics by TLS"),
    pytest.param({}, "--report-host=scaling-operator-metrics.scaling-operator.svc"),
    pytest.param({}, "--log-format=json", id="a cluster's log is JSON"),
    pytest.param({"logFormat": "text"}, "--log-format=text"),
    pytest.param({"dashboard": {"enabled": True}}, "--dashboard-port=8081"),
    pytest.param(
        {"dashboard": {"enabled": True, "names": ["a.example"]}}, "--dashboard-name=a.example"
    ),
    pytest.param({"fullnameOverride": "so"}, "--lease=so"),
    pytest.param({}, "--report-url=https://scaling-operator-reports.scaling-operator.svc:8443"),
    pytest.param({}, "--report-host=scaling-operator-reports.scaling-operator.svc"),
    pytest.param({"reports": {"port": 9443}}, "--report-port=9443"),
    pytest.param({"reports": {"clusterIP": "10.9.8.7"}}, "--report-url=https://10.9.8.7:8443"),
    pytest.param({"reports": {"clusterIP": "10.9.8.7"}}, "--report-host=10.9.8.7"),
    pytest.param({"reports": {"clusterIP": "fd00::7"}}, "--report-url=https://[fd00::7]:8443"),
    pytest.param({"reports": {"url": "https://r.example:1"}}, "--report-url=https://r.example:1"),
    pytest.param({"reports": {"url": "https://r.example:1"}}, "--report-host=r.example"),
    pytest.param({"reports": {"url": "https://[fd00::9]:1"}}, "--report-host=fd00::9"),
    pytest.param({"reports": {"hosts": ["r.example"]}}, "--report-host=r.example"),
    pytest.param({"extraArgs": ["--some=thing"]}, "--some=thing"),
]


@pytest.mark.parametrize(("values", "argument"), ARGUMENTS)
def test_a_value_becomes_an_argument(helm: Path, values: Values, argument: str) -> None:
    assert argument in arguments_of(rendered(helm, values))


def options_of_the_command() -> set[str]:
    command = typer.main.get_command(app)
    return {
        name for parameter in command.params for name in parameter.opts if name.startswith("--")
    }


def test_the_chart_and_the_command_know_the_same_options(helm: Path) -> None:
    everything = {
        "watchNamespaces": ["a"],
        "dashboard": {"enabled": True, "names": ["a"]},
        "trials": {
            "workload": "job",
            "queue": "q",
            "imagePullPolicy": "Never",
            "imagePullSecrets": ["s"],
            "allowedServiceAccounts": ["a"],
        },
    }
    objects = rendered(helm, everything)
    passed_options = {argument.split("=")[0] for argument in arguments_of(objects)}
    variables = {
        variable["name"].removeprefix("SCALING_OPERATOR_").lower().replace("_", "-")
        for variable in pod_of(objects)["containers"][0]["env"]
    }
    # A pod uses its own account, and listens everywhere.
    assert options_of_the_command() - {"--kubeconfig", "--address", "--help"} == passed_options | {
        f"--{name}" for name in variables
    }


def test_the_namespace_is_made_where_that_is_asked_for_with_pod_security(helm: Path) -> None:
    assert names_of(rendered(helm), "Namespace") == set()
    namespace = only(rendered(helm, {"namespace": {"create": True}}), "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_without_reports_nothing_of_them_is_there(helm: Path) -> None:
    objects = rendered(helm, {"reports": {"enabled": False}, "metrics": {"secure": False}})
    assert not [argument for argument in arguments_of(objects) if argument.startswith("--report")]
    assert names_of(objects, "Secret") == set()
    assert names_of(objects, "Service") == {"scaling-operator-metrics"}
    assert "tokenreviews" not in json.dumps(objects)
    assert "secrets" not in json.dumps(objects)


def test_the_container_is_restricted(helm: Path) -> None:
    pod = pod_of(rendered(helm))
    (container,) = pod["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert [volume["emptyDir"] for volume in pod["volumes"]] == [
        {"medium": "Memory", "sizeLimit": "16Mi"}
    ]
    assert {probe for probe in container if probe.endswith("Probe")} == {
        "startupProbe",
        "livenessProbe",
        "readinessProbe",
    }
    # Else the variables of its own Services would be read as its options.
    assert pod["enableServiceLinks"] is False


def test_pods_go_where_the_values_say(helm: Path) -> None:
    place: dict[str, Any] = {
        "nodeSelector": {"pool": "system"},
        "tolerations": [{"key": "system", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "system-cluster-critical",
        "imagePullSecrets": ["registry"],
        "podLabels": {"team": "platform"},
        "podAnnotations": {"note": "x"},
        "replicas": 2,
    }
    objects = rendered(helm, place)
    pod = pod_of(objects)
    for name in ("nodeSelector", "tolerations", "affinity", "priorityClassName"):
        assert pod[name] == place[name]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    template = only(objects, "Deployment")["spec"]["template"]["metadata"]
    assert template["labels"]["team"] == "platform"
    assert template["annotations"] == {"note": "x"}
    assert only(objects, "Deployment")["spec"]["replicas"] == 2


IN_NAMESPACES = {
    ("scalingexperiments", "get"),
    ("scalingexperiments", "list"),
    ("scalingexperiments", "watch"),
    ("scalingexperiments/status", "patch"),
    ("scalingtrials", "create"),
    ("scalingtrials", "get"),
    ("scalingtrials", "list"),
    ("scalingtrials/status", "patch"),
    *(("pods", verb) for verb in ("create", "get", "list", "watch", "delete", "deletecollection")),
    ("events", "create"),
    ("resourceclaimtemplates", "create"),
}
IN_THE_CLUSTER = {
    ("namespaces", "list"),
    ("namespaces", "watch"),
    ("nodes", "list"),
    ("resourcepolicies", "list"),
    ("resourcepolicies", "watch"),
    ("resourcepolicies/status", "patch"),
    ("tokenreviews", "create"),
    ("subjectaccessreviews", "create"),
}


def test_for_all_namespaces_there_is_one_role(helm: Path) -> None:
    objects = rendered(helm)
    assert rules_of(only(objects, "ClusterRole")) == IN_NAMESPACES | IN_THE_CLUSTER
    assert names_of(objects, "Role") == {"scaling-operator-own"}


def test_for_some_namespaces_each_has_a_role_and_the_cluster_hardly_any(helm: Path) -> None:
    objects = rendered(helm, {"watchNamespaces": ["team-a", "team-b"]})
    assert rules_of(only(objects, "ClusterRole")) == IN_THE_CLUSTER
    roles = [
        o
        for o in objects
        if o["kind"] == "Role" and o["metadata"]["namespace"] != "scaling-operator"
    ]
    assert {o["metadata"]["namespace"] for o in roles} == {"team-a", "team-b"}
    assert all(rules_of(role) == IN_NAMESPACES for role in roles)
    bound = [o for o in objects if o["kind"] == "RoleBinding"]
    assert {o["metadata"]["namespace"] for o in bound} == {"scaling-operator", "team-a", "team-b"}
    assert {o["subjects"][0]["namespace"] for o in bound} == {"scaling-operator"}


def test_its_own_lease_and_secret_are_the_only_ones(helm: Path) -> None:
    role = only(rendered(helm), "Role", "scaling-operator-own")
    named = {
        (resource, verb, *rule.get("resourceNames", ["any"]))
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert named == {
        ("leases", "create", "any"),
        ("leases", "get", "scaling-operator"),
        ("leases", "update", "scaling-operator"),
        ("secrets", "get", "scaling-operator-reports"),
        ("secrets", "update", "scaling-operator-reports"),
    }


def test_jobs_are_touched_where_they_are_the_workload_alone(helm: Path) -> None:
    assert "jobs" not in {resource for resource, _ in rules_of(only(rendered(helm), "ClusterRole"))}
    jobs = only(rendered(helm, {"trials": {"workload": "job"}}), "ClusterRole")
    verbs = {verb for resource, verb in rules_of(jobs) if resource == "jobs"}
    assert verbs == {"create", "get", "list", "watch", "delete", "deletecollection"}
    assert ("pods", "deletecollection") not in rules_of(jobs)


def test_no_role_has_a_wildcard(helm: Path) -> None:
    for objects in (rendered(helm), rendered(helm, {"watchNamespaces": ["a"]})):
        for role in (o for o in objects if o["kind"] in ("Role", "ClusterRole")):
            assert "*" not in json.dumps(role["rules"])


def test_people_edit_experiments_and_read_trials(helm: Path) -> None:
    objects = rendered(helm)
    edit, view = (only(objects, "ClusterRole", f"scaling-operator-{n}") for n in ("edit", "view"))
    assert {resource for resource, _ in rules_of(edit)} == {"scalingexperiments"}
    assert {verb for _, verb in rules_of(view)} == {"get", "list", "watch"}


def test_two_releases_in_a_cluster_have_roles_of_their_own(helm: Path) -> None:
    names = {
        name
        for release in ("one", "two")
        for name in names_of(rendered(helm, {"fullnameOverride": release}), "ClusterRole")
    }
    assert {"scaling-operator-one", "scaling-operator-two"} <= names


def test_what_can_be_left_out_is_left_out(helm: Path) -> None:
    objects = rendered(
        helm,
        {
            "rbac": {"create": False},
            "userRoles": {"create": False},
            "serviceAccount": {"create": False, "name": "mine"},
            "resourcePolicy": {"create": False},
            "metrics": {"service": {"enabled": False}, "secure": False},
            "reports": {"enabled": False},
            "networkPolicy": {"enabled": False},
        },
    )
    assert [o["kind"] for o in objects] == ["Deployment"]
    assert pod_of(objects)["serviceAccountName"] == "mine"


def selected(peer: Object, labels: Mapping[str, str]) -> bool:
    """Whether a peer of a NetworkPolicy is a pod with these labels, in whatever namespace."""
    return all(
        (rule["key"] in labels) == (rule["operator"] == "Exists")
        for rule in peer["podSelector"]["matchExpressions"]
    )


def test_the_network_policy_lets_trials_report_and_reach_nothing_else(helm: Path) -> None:
    policy = only(rendered(helm), "NetworkPolicy")["spec"]
    reachable = {
        name: [rule["ports"][0]["port"] for rule in policy["ingress"] for peer in rule["from"]
               if selected(peer, labels)]
        for name, labels in (("trial", {"scaling-operator.dev/experiment": "x"}), ("other", {}))
    }  # fmt: skip
    assert reachable == {"trial": ["reports"], "other": ["metrics"]}
    peers = [peer for rule in policy["ingress"] for peer in rule["from"]]
    assert all(peer["namespaceSelector"] == {} for peer in peers)


def test_the_network_policy_lets_whom_it_names_read_metrics(helm: Path) -> None:
    peers = [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]
    policy = only(rendered(helm, {"networkPolicy": {"metricsFrom": peers}}), "NetworkPolicy")
    reports, metrics = policy["spec"]["ingress"]
    assert reports["ports"] == [{"port": "reports", "protocol": "TCP"}]
    (peer,) = reports["from"]
    assert peer["namespaceSelector"] == {}
    assert peer["podSelector"]["matchExpressions"][0]["key"] == "scaling-operator.dev/experiment"
    assert metrics["from"] == peers
    closed: Values = {"networkPolicy": {"metricsFrom": list[Any]()}, "reports": {"enabled": False}}
    assert "ingress" not in only(rendered(helm, closed), "NetworkPolicy")["spec"]


def test_the_network_policy_lets_the_operator_reach_the_api_server_and_dns(helm: Path) -> None:
    policy = only(rendered(helm), "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    api_server, dns = policy["egress"]
    assert {443, 6443} <= {port["port"] for port in api_server["ports"]}
    assert {(port["port"], port["protocol"]) for port in dns["ports"]} >= {(53, "UDP"), (53, "TCP")}
    # Where it is nobody can know beforehand.
    assert "to" not in api_server

    peers = [{"ipBlock": {"cidr": "10.1.2.3/32"}}]
    asked = {"networkPolicy": {"apiServerPorts": [7443], "apiServerTo": peers}}
    narrow = only(rendered(helm, asked), "NetworkPolicy")["spec"]["egress"][0]
    assert narrow == {"ports": [{"port": 7443, "protocol": "TCP"}], "to": peers}


def test_who_scrapes_gets_a_role_of_one_path(helm: Path) -> None:
    role = only(rendered(helm), "ClusterRole", "scaling-operator-metrics-reader")
    assert role["rules"] == [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]
    plain = rendered(helm, {"metrics": {"secure": False}})
    assert "scaling-operator-metrics-reader" not in names_of(plain, "ClusterRole")
    assert "subjectaccessreviews" not in json.dumps(plain)
    assert "--metrics-secure" not in arguments_of(plain)


def test_secure_metrics_have_their_certificate_without_reports_too(helm: Path) -> None:
    objects = rendered(helm, {"reports": {"enabled": False}})
    assert names_of(objects, "Secret") == {"scaling-operator-reports"}
    assert names_of(objects, "Service") == {"scaling-operator-metrics"}
    assert [argument for argument in arguments_of(objects) if argument.startswith("--report")] == [
        "--report-secret=scaling-operator-reports",
        "--report-host=scaling-operator-metrics.scaling-operator.svc",
    ]
    own = rules_of(only(objects, "Role", "scaling-operator-own"))
    assert {("secrets", "get"), ("secrets", "update")} <= own
    assert ("tokenreviews", "create") in rules_of(only(objects, "ClusterRole"))
