"""A dashboard answers to names that are its own: a page of another name cannot read it."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import pytest

from scaling_operator.search.dashboard import Mirror, served
from scaling_operator.server.hosts import answers_to

TOLD = ("studies.example.org",)
ANSWERED = [
    pytest.param("127.0.0.1:8080", id="an address"),
    pytest.param("10.1.2.3", id="an address without a port"),
    pytest.param("[::1]:8080", id="an address of IPv6"),
    pytest.param("localhost:8080", id="what kubectl port-forward sends"),
    pytest.param("LocalHost", id="in large letters"),
    pytest.param("study.localhost:1", id="below localhost"),
    pytest.param("scaling-dashboard:8081", id="a Service in the same namespace"),
    pytest.param("scaling-dashboard.team.svc:8081", id="a Service elsewhere"),
    pytest.param("scaling-dashboard.team.svc.cluster.local.", id="a Service in full"),
    pytest.param("studies.example.org", id="a name that was told"),
    pytest.param("Studies.Example.org.:443", id="a name that was told, written otherwise"),
]
REFUSED = [
    pytest.param("evil.example:8080", id="somebody else's name"),
    pytest.param("studies.example.org.evil.example", id="a told name below another"),
    pytest.param("evil-studies.example.org", id="a told name at the end of another"),
    pytest.param("127.0.0.1.evil.example", id="an address below a name"),
    pytest.param("localhost.evil.example", id="localhost below a name"),
    pytest.param("evil.examplesvc", id="no Service"),
    pytest.param("1.2.3.4.5", id="no address"),
    pytest.param("evil.example@127.0.0.1.x", id="a user before a name"),
    pytest.param("[::1", id="half an address"),
    pytest.param(":8080", id="a port alone"),
    pytest.param("", id="no name"),
]


@pytest.mark.parametrize("host", ANSWERED)
def test_own_names_are_answered(host: str) -> None:
    assert answers_to(host, TOLD)


@pytest.mark.parametrize("host", REFUSED)
def test_names_of_others_are_not(host: str) -> None:
    assert not answers_to(host, TOLD)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Serve optuna-dashboard itself."""
    with served(Mirror().application(), "127.0.0.1", 0, names=TOLD) as bound:
        yield bound


def asked(port: int, path: str, host: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/api/studies", "/dashboard", "/csv/1", "/static/bundle.js"])
def test_a_page_of_another_name_reads_nothing_of_the_dashboard(port: int, path: str) -> None:
    status, said = asked(port, path, "evil.example")
    assert status == 421
    assert said.startswith("This dashboard answers to addresses, localhost")
    assert "dashboard.names" in said, "it says what helps"


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "studies.example.org"])
def test_its_own_pages_are_read_as_before(port: int, host: str) -> None:
    status, said = asked(port, "/api/studies", host)
    assert (status, said.split(":")[0]) == (200, '{"study_summaries"')
