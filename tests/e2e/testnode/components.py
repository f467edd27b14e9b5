"""Kubernetes' programs, with the options that a node of one machine takes.

Only one such machine is up at a time, and nobody else lives in its network: ports are fixed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testnode.namespaces import cgroup_of

NODE = "ring-3"
# Addresses that documents use as examples (RFC 5737): no network of a user has them.
HOST_ADDRESS = "198.51.100.1"
ADDRESS = "198.51.100.2"
SERVER = f"https://{ADDRESS}:6443"
SERVICES = "10.96.0.0/16"
API_SERVICE = "10.96.0.1"
# Of the operator's Service for reports, where the chart is asked for a fixed one.
REPORTS = "10.96.0.84"
PODS = "10.244.0.0/24"
CONTAINERD = "unix:///run/containerd/containerd.sock"
_ETCD = "http://127.0.0.1:2379"
# Who may call, by a token that is the user's name: RBAC and the Node authorizer then work as ever.
_USERS = {
    "system:kube-controller-manager": "",
    "system:kube-scheduler": "",
    "system:kube-proxy": "",
    f"system:node:{NODE}": "system:nodes",
}


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things lie: the programs, and the machine's folder."""

    programs: Mapping[str, Path]
    folder: Path

    @property
    def pki(self) -> Path:
        """Folder of keys and certificates."""
        return self.folder / "pki"

    @property
    def kubeconfig(self) -> Path:
        """The admin's way in."""
        return self.folder / "kubeconfig"

    def kubeconfig_of(self, user: str) -> Path:
        """A component's way in."""
        return self.folder / f"{user.replace(':', '-')}.kubeconfig"


def write(layout: Layout) -> None:
    """Write the files that the components read."""
    admin = {name: str(layout.pki / f"admin.{end}") for name, end in _ADMIN}
    _write(layout.kubeconfig, _kubeconfig(layout, admin))
    lines: list[str] = []
    for user, groups in _USERS.items():
        lines.append(f'{user},{user},{user},"{groups}"\n')
        _write(layout.kubeconfig_of(user), _kubeconfig(layout, {"token": user}))
    (layout.folder / "tokens.csv").write_text("".join(lines))
    _write(layout.folder / "kubelet.json", _kubelet(layout))
    _write(layout.folder / "kube-proxy.json", _kube_proxy(layout))


_ADMIN = (("client-certificate", "crt"), ("client-key", "key"))


def commands(layout: Layout) -> dict[str, tuple[str, ...]]:
    """Command of each component, in the order in which they may start."""
    return {
        "etcd": (str(layout.programs["etcd"]), *_etcd(layout)),
        "kube-apiserver": (str(layout.programs["kube-apiserver"]), *_apiserver(layout)),
        "kube-controller-manager": (
            str(layout.programs["kube-controller-manager"]),
            f"--kubeconfig={layout.kubeconfig_of('system:kube-controller-manager')}",
            f"--root-ca-file={layout.pki / 'ca.crt'}",
            f"--service-account-private-key-file={layout.pki / 'sa.key'}",
            "--use-service-account-credentials=true",
            "--leader-elect=false",
        ),
        "kube-scheduler": (
            str(layout.programs["kube-scheduler"]),
            f"--kubeconfig={layout.kubeconfig_of('system:kube-scheduler')}",
            "--leader-elect=false",
        ),
        "kubelet": (
            str(layout.programs["kubelet"]),
            f"--config={layout.folder / 'kubelet.json'}",
            f"--kubeconfig={layout.kubeconfig_of(f'system:node:{NODE}')}",
            f"--hostname-override={NODE}",
            f"--node-ip={ADDRESS}",
        ),
        "kube-proxy": (
            str(layout.programs["kube-proxy"]),
            f"--config={layout.folder / 'kube-proxy.json'}",
        ),
    }


def _etcd(layout: Layout) -> tuple[str, ...]:
    return (
        f"--data-dir={layout.folder / 'etcd'}",
        f"--listen-client-urls={_ETCD}",
        f"--advertise-client-urls={_ETCD}",
        "--unsafe-no-fsync",  # a machine that dies takes its data along
    )


def _apiserver(layout: Layout) -> tuple[str, ...]:
    pki = layout.pki
    return (
        f"--etcd-servers={_ETCD}",
        f"--advertise-address={ADDRESS}",
        f"--service-cluster-ip-range={SERVICES}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--token-auth-file={layout.folder / 'tokens.csv'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        f"--kubelet-client-certificate={pki / 'admin.crt'}",
        f"--kubelet-client-key={pki / 'admin.key'}",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki / 'sa.key'}",
        f"--service-account-signing-key-file={pki / 'sa.key'}",
    )


def _kubelet(layout: Layout) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"x509": {"clientCAFile": str(layout.pki / "ca.crt")}},
        "containerRuntimeEndpoint": CONTAINERD,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup_of(layout.folder)}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "localStorageCapacityIsolation": False,
        # A machine that is short of disk or memory is the user's, and says so in its own ways.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
        # The usual -999 needs CAP_SYS_RESOURCE, which a container that runs the tests may lack.
        "oomScoreAdj": 0,
        "podLogsDir": "/var/log/pods",
        "volumePluginDir": str(layout.folder / "volume-plugins"),
        "resolvConf": "",
        "nodeStatusUpdateFrequency": "2s",
    }


def _kube_proxy(layout: Layout) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(layout.kubeconfig_of("system:kube-proxy"))},
        "mode": "iptables",
        "hostnameOverride": NODE,
        "clusterCIDR": PODS,
        "oomScoreAdj": 0,
        # Limits of the whole system, which is not ours to tune.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    }


def _kubeconfig(layout: Layout, user: dict[str, str]) -> dict[str, Any]:
    place = {"server": SERVER, "certificate-authority": str(layout.pki / "ca.crt")}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": NODE, "cluster": place}],
        "users": [{"name": NODE, "user": user}],
        "contexts": [{"name": NODE, "context": {"cluster": NODE, "user": NODE}}],
        "current-context": NODE,
    }


def _write(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, indent=1))  # JSON is YAML
