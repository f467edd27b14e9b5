"""The metrics of an operator, by TLS: the API server says who may read them."""

from __future__ import annotations

import urllib.error
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from testbed.installation import Installation, Installer
from testbed.scraper import Scraper, admitted

SECURE = ("--metrics-secure", "--report-host", "127.0.0.1")


@dataclass(frozen=True, slots=True)
class Scraped:
    """An operator, and an account that may read its metrics."""

    installation: Installation
    scraper: Scraper


@pytest.fixture(scope="module")
def scraped(installer: Installer) -> Iterator[Scraped]:
    with installer.installed(*SECURE) as installation:
        namespace = installation.site.namespace
        role = f"scaling-operator-metrics-reader-{namespace}"
        with admitted(installer.cluster, namespace, role) as scraper:
            yield Scraped(installation, scraper)


def code_of(scraped: Scraped, token: str) -> int:
    try:
        replace(scraped.scraper, token=token).read(scraped.installation.operator.metrics_port)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    return 200


def test_whoever_has_the_role_reads_them(scraped: Scraped) -> None:
    text = scraped.scraper.read(scraped.installation.operator.metrics_port)
    assert "scaling_operator_leader 1.0" in text


def test_a_token_of_nobody_is_refused(scraped: Scraped) -> None:
    assert code_of(scraped, "nobody") == 401


def test_an_account_without_the_role_is_refused(scraped: Scraped) -> None:
    site = scraped.installation.site
    # A trial's own account is one.
    assert code_of(scraped, site.kubectl("create", "token", "default").strip()) == 403


def test_refusals_are_counted(scraped: Scraped) -> None:
    assert scraped.installation.operator.is_alive
    counted = [
        f'scaling_operator_requests_refused_total{{port="metrics",reason="{reason}"}} 1.0'
        for reason in ("BadToken", "Forbidden")
    ]

    def are_counted() -> bool:
        text = scraped.scraper.read(scraped.installation.operator.metrics_port)
        return all(line in text for line in counted)

    # Scrapes that follow each other closely share one answer.
    scraped.installation.site.wait(are_counted, 10, "both refusals are counted")
