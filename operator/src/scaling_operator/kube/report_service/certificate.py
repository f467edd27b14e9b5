"""The certificate of the operator's ports: an authority of our own, and what it has signed.

Pods get the authority's certificate when they are made, and trust nothing else. It signs with the
same key for as long as the Secret lives, so a new certificate, for new names too, is one that every
running pod trusts already.
"""

from __future__ import annotations

import ssl
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from scaling_operator.kube.report_service import certificate_signing as signing

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: those that encrypt and authenticate at once. TLS 1.3 has no others."""


class BadMaterial(ValueError):
    """What is stored are not keys and certificates that belong together."""


@dataclass(frozen=True, slots=True)
class Material:
    """Certificates and their keys, as PEM text. Raises BadMaterial where they do not fit."""

    authority: str
    """What pods trust."""
    authority_key: str = field(repr=False)
    certificate: str
    """What the endpoint shows."""
    key: str = field(repr=False)

    def __post_init__(self) -> None:
        try:
            authority = signing.read_certificate(self.authority)
            certificate = signing.read_certificate(self.certificate)
            fit = (
                signing.belongs(authority, signing.read_key(self.authority_key))
                and signing.belongs(certificate, signing.read_key(self.key))
                and signing.is_signed_by(certificate, authority)
            )
        except ValueError as error:
            raise BadMaterial(str(error)) from error
        if not fit:
            message = "certificates and keys do not belong together"
            raise BadMaterial(message)


def issue(hosts: Collection[str], now: datetime) -> Material:
    """Make an authority, and a certificate for hosts: names and addresses."""
    key = signing.new_key()
    return _signed(signing.authority_of(key, now), key, hosts, now)


def renewed(material: Material, hosts: Collection[str], now: datetime) -> Material:
    """Renew what has spent two thirds of its life, or is for other hosts; else the same object.

    The authority's key stays, and so does the trust of the pods that run.
    """
    authority = signing.read_certificate(material.authority)
    certificate = signing.read_certificate(material.certificate)
    key = signing.read_key(material.authority_key)
    if now >= due(authority):
        return _signed(signing.authority_of(key, now), key, hosts, now)
    if now >= due(certificate) or not signing.is_for(certificate, hosts):
        return _signed(authority, key, hosts, now)
    return material


def due(certificate: signing.Certificate) -> datetime:
    """When a certificate is to be renewed: after two thirds of its life."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begin + (end - begin) * 2 / 3


def server_context(material: Material) -> ssl.SSLContext:
    """Make the TLS settings of the endpoint."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    # A client must not make us sign again and again on one connection.
    context.options |= ssl.OP_NO_RENEGOTIATION
    show(context, material)
    return context


def show(context: ssl.SSLContext, material: Material) -> None:
    """Let connections from now on see this certificate."""
    # OpenSSL reads files alone. The folder is ours alone, and in a pod it lies in memory.
    with TemporaryDirectory() as folder:
        certificate, key = Path(folder, "tls.crt"), Path(folder, "tls.key")
        certificate.write_text(material.certificate)
        key.write_text(material.key)
        context.load_cert_chain(certificate, key)


def _signed(
    authority: signing.Certificate,
    authority_key: signing.Key,
    hosts: Collection[str],
    now: datetime,
) -> Material:
    key = signing.new_key()
    return Material(
        authority=signing.certificate_text(authority),
        authority_key=signing.key_text(authority_key),
        certificate=signing.certificate_text(signing.signed(key, authority_key, hosts, now)),
        key=signing.key_text(key),
    )
