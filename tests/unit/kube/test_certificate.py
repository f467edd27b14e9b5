"""The report endpoint's certificate: whom it is for, when it is renewed, who trusts it then."""

from __future__ import annotations

import asyncio
import base64
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scaling_operator.kube.client.errors import Conflict, NotFound
from scaling_operator.kube.client.kinds import SECRETS, Kind
from scaling_operator.kube.report_service.certificate import (
    AUTHORITY_LIFE,
    CERTIFICATE_LIFE,
    BadMaterial,
    Material,
    issue,
    renewed,
    server_context,
)
from scaling_operator.kube.report_service.serving_certificate import CertificateSecret

NOW = datetime.now(UTC).replace(microsecond=0)
HOSTS = ("scaling-operator-reports.scaling.svc", "10.96.0.7", "fd00::7")


def trusts(authority: str, material: Material, host: str) -> bool:
    """Whether a client that trusts an authority alone finishes the handshake for a host."""
    client_context = ssl.create_default_context(cadata=authority)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=host)
    server = server_context(material).wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError:
                return False
    return client.version() is not None


@pytest.mark.parametrize("host", HOSTS)
def test_a_pod_trusts_the_certificate_for_every_host(host: str) -> None:
    material = issue(HOSTS, NOW)

    assert trusts(material.authority, material, host)


def test_it_is_for_no_other_host() -> None:
    material = issue(HOSTS, NOW)

    assert not trusts(material.authority, material, "scaling-operator-reports.other.svc")
    assert not trusts(material.authority, material, "10.96.0.8")


def test_another_authority_is_not_trusted() -> None:
    assert not trusts(issue(HOSTS, NOW).authority, issue(HOSTS, NOW), HOSTS[0])


def test_keys_are_not_shown_in_logs() -> None:
    assert "PRIVATE" not in repr(issue(HOSTS, NOW))


ALL, NOTHING = {"authority", "certificate", "key"}, set[str]()


@pytest.mark.parametrize(
    ("age", "hosts", "stays"),
    [
        pytest.param(timedelta(0), HOSTS, ALL, id="a new one stays"),
        pytest.param(timedelta(0), HOSTS[::-1], ALL, id="the order of hosts is no matter"),
        pytest.param(CERTIFICATE_LIFE * 0.6, HOSTS, ALL, id="so does one of 54 days"),
        pytest.param(CERTIFICATE_LIFE * 0.7, HOSTS, {"authority"}, id="not one of 63 days"),
        pytest.param(CERTIFICATE_LIFE * 2, HOSTS, {"authority"}, id="nor one that has run out"),
        pytest.param(timedelta(0), ("other",), {"authority"}, id="nor one for other hosts"),
        pytest.param(timedelta(0), HOSTS[:1], {"authority"}, id="nor one for more hosts"),
        pytest.param(AUTHORITY_LIFE * 0.7, HOSTS, NOTHING, id="an authority of 7 years"),
        pytest.param(AUTHORITY_LIFE * 2, HOSTS, NOTHING, id="one that has run out"),
    ],
)
def test_what_is_due_is_renewed(age: timedelta, hosts: tuple[str, ...], stays: set[str]) -> None:
    material = issue(HOSTS, NOW)

    later = renewed(material, hosts, NOW + age)

    parts = ("authority", "certificate", "key")
    assert {part for part in parts if getattr(later, part) == getattr(material, part)} == stays
    assert later.authority_key == material.authority_key
    # What was renewed is not due again.
    assert renewed(later, hosts, NOW + age) == later


def test_pods_that_run_trust_what_was_renewed() -> None:
    seven_years = AUTHORITY_LIFE * 0.7
    old = issue(HOSTS, NOW - seven_years)

    certificate_renewed = renewed(old, HOSTS, NOW - seven_years / 2)
    moved = renewed(old, ("elsewhere",), NOW - timedelta(days=1))
    authority_renewed = renewed(old, HOSTS, NOW)

    assert certificate_renewed.certificate != old.certificate
    assert trusts(old.authority, moved, "elsewhere")
    assert authority_renewed.authority != old.authority
    assert trusts(old.authority, authority_renewed, HOSTS[0])
    assert trusts(authority_renewed.authority, authority_renewed, HOSTS[0])


@pytest.mark.parametrize("part", ["authority", "authority_key", "certificate", "key"])
@pytest.mark.parametrize("text", ["of another", "", "x"])
def test_what_does_not_belong_together_is_refused(part: str, text: str) -> None:
    material, another = issue(HOSTS, NOW), issue(HOSTS, NOW)
    with pytest.raises(BadMaterial):
        replace(material, **{part: getattr(another, part) if text == "of another" else text})


@dataclass(slots=True)
class Secrets:
    """One Secret, guarded as the API server guards it."""

    name: str = "reports"
    data: dict[str, str] | None = None
    version: int = 1
    writes: int = 0
    before_write: Callable[[], None] = field(default=lambda: None)

    async def get(self, kind: Kind, namespace: str | None, name: str) -> dict[str, Any]:
        if (kind, namespace, name) != (SECRETS, "scaling", self.name):
            message = f'secrets "{name}" not found'
            raise NotFound(message)
        metadata = {"name": name, "resourceVersion": str(self.version)}
        return {"metadata": metadata, "type": "Opaque"} | (
            {} if self.data is None else {"data": dict(self.data)}
        )

    async def replace(
        self, kind: Kind, namespace: str | None, name: str, body: dict[str, Any]
    ) -> dict[str, Any]:
        del kind, namespace, name
        self.before_write()
        if body["metadata"]["resourceVersion"] != str(self.version):
            message = "the object has been modified"
            raise Conflict(message)
        self.put(body["data"])
        return body

    def put(self, data: dict[str, str] | None) -> None:
        self.data, self.version, self.writes = data, self.version + 1, self.writes + 1

    def current(self, held: Material | None = None, hosts: tuple[str, ...] = HOSTS) -> Material:
        secret = CertificateSecret(self, "scaling", "reports")
        return asyncio.run(secret.current(hosts, NOW, held))


def test_an_empty_secret_is_filled_once() -> None:
    secrets = Secrets()

    first = secrets.current()

    assert secrets.current() == first
    assert secrets.writes == 1
    assert secrets.data is not None
    assert base64.b64decode(secrets.data["ca.crt"]).decode() == first.authority
    assert set(secrets.data) == {"ca.crt", "ca.key", "tls.crt", "tls.key"}


def test_who_comes_second_takes_what_the_first_has_written() -> None:
    secrets = Secrets()
    first = issue(HOSTS, NOW)
    stored = {
        file: base64.b64encode(text.encode()).decode()
        for file, text in {
            "ca.crt": first.authority,
            "ca.key": first.authority_key,
            "tls.crt": first.certificate,
            "tls.key": first.key,
        }.items()
    }

    def somebody_else_writes() -> None:
        secrets.before_write = lambda: None
        secrets.put(stored)

    secrets.before_write = somebody_else_writes

    assert secrets.current() == first
    assert secrets.writes == 1


def test_an_emptied_secret_gets_back_what_running_pods_trust() -> None:
    secrets = Secrets()
    held = secrets.current()
    secrets.put(None)

    assert secrets.current(held) == held
    assert secrets.current() == held


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param({"tls.key": "bm8ga2V5"}, id="no key"),
        pytest.param({"tls.crt": "*"}, id="no base64"),
        pytest.param({"ca.crt": "/w=="}, id="no text"),
        pytest.param({"ca.key": ""}, id="empty"),
    ],
)
def test_a_damaged_secret_is_issued_anew_and_said(
    damage: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    secrets = Secrets()
    before = secrets.current()
    secrets.put((secrets.data or {}) | damage | {"mine": "eA=="})

    with caplog.at_level(logging.WARNING):
        after = secrets.current()

    assert after != before
    assert secrets.current() == after
    assert "is no good and is replaced" in caplog.text
    assert "PRIVATE" not in caplog.text
    assert (secrets.data or {})["mine"] == "eA=="


def test_a_missing_secret_is_an_error() -> None:
    with pytest.raises(NotFound):
        Secrets(name="another").current()


def test_tls_offers_no_suite_that_does_not_authenticate_what_it_encrypts() -> None:
    context = server_context(issue(["127.0.0.1"], datetime.now(UTC)))

    suites = [str(cipher["name"]) for cipher in context.get_ciphers()]
    assert suites
    assert [suite for suite in suites if "GCM" not in suite and "CHACHA20" not in suite] == []
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert ssl.OP_NO_RENEGOTIATION in context.options
