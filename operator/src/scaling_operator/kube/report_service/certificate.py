"""The certificate of the operator's ports, signed by an authority of its own (X.509, PEM).

Pods get the authority's certificate when they are created, and trust nothing else. The authority
keeps its key for as long as the Secret exists, so every running pod trusts a new certificate, for
new names too.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2, the ciphers that encrypt and authenticate at once. TLS 1.3 has no others."""


class BadMaterial(ValueError):
    """The stored texts are no keys and certificates that belong together."""


@dataclass(frozen=True, slots=True)
class Material:
    """Certificates and their keys as PEM text. Raises BadMaterial where they do not fit."""

    authority: str
    """The certificate that pods trust."""
    authority_key: str = field(repr=False)
    certificate: str
    """The certificate that the ports show."""
    key: str = field(repr=False)

    def __post_init__(self) -> None:
        try:
            authority = read_certificate(self.authority)
            certificate = read_certificate(self.certificate)
            fit = (
                is_of_key(authority, read_key(self.authority_key))
                and is_of_key(certificate, read_key(self.key))
                and is_signed_by(certificate, authority)
            )
        except ValueError as error:
            raise BadMaterial(str(error)) from error
        if not fit:
            message = "certificates and keys do not belong together"
            raise BadMaterial(message)


def issue(hosts: Collection[str], now: datetime) -> Material:
    """Make an authority, and a certificate for hosts: names and addresses."""
    key = new_key()
    return _sign(authority_of(key, now), key, hosts, now)


def renewed(material: Material, hosts: Collection[str], now: datetime) -> Material:
    """Renew certificates after two thirds of their life, or for other hosts; else change nothing.

    The authority keeps its key, so running pods trust the new certificates.
    """
    authority = read_certificate(material.authority)
    certificate = read_certificate(material.certificate)
    key = read_key(material.authority_key)
    if now >= renewal_time(authority):
        return _sign(authority_of(key, now), key, hosts, now)
    if now >= renewal_time(certificate) or not is_for(certificate, hosts):
        return _sign(authority, key, hosts, now)
    return material


def renewal_time(certificate: Certificate) -> datetime:
    """When a certificate is to be renewed: after two thirds of its life."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begin + (end - begin) * 2 / 3


def server_context(material: Material) -> ssl.SSLContext:
    """Make the TLS settings of the ports."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    # A client must not make the server sign again and again on one connection.
    context.options |= ssl.OP_NO_RENEGOTIATION
    load_certificate(context, material)
    return context


def load_certificate(context: ssl.SSLContext, material: Material) -> None:
    """Show this certificate on connections from now on."""
    # OpenSSL reads only files. The folder is private to this process, and in memory in a pod.
    with TemporaryDirectory() as folder:
        certificate, key = Path(folder, "tls.crt"), Path(folder, "tls.key")
        certificate.write_text(material.certificate)
        key.write_text(material.key)
        context.load_cert_chain(certificate, key)


def _sign(
    authority: Certificate,
    authority_key: Key,
    hosts: Collection[str],
    now: datetime,
) -> Material:
    key = new_key()
    return Material(
        authority=certificate_text(authority),
        authority_key=key_text(authority_key),
        certificate=certificate_text(sign_certificate(key, authority_key, hosts, now)),
        key=key_text(key),
    )


AUTHORITY_LIFE = timedelta(days=3650)
CERTIFICATE_LIFE = timedelta(days=90)
# Clocks of nodes differ: a certificate is valid on a node whose clock is behind.
BACKDATED = timedelta(hours=1)

_AUTHORITY_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "scaling-operator reports")])
_SERVER_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "scaling-operator")])

Key = ec.EllipticCurvePrivateKey
Certificate = x509.Certificate


def new_key() -> Key:
    """Make a private key."""
    return ec.generate_private_key(ec.SECP256R1())


def read_key(text: str) -> Key:
    """Read a private key. Raises ValueError where it is no key of this kind."""
    key = load_pem_private_key(text.encode(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        message = "a private key of another kind"
        raise ValueError(message)  # noqa: TRY004 - as for any other unusable key
    return key


def read_certificate(text: str) -> Certificate:
    """Read a certificate. Raises ValueError."""
    return x509.load_pem_x509_certificate(text.encode())


def key_text(key: Key) -> str:
    """Write a private key as PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def certificate_text(certificate: Certificate) -> str:
    """Write a certificate as PEM."""
    return certificate.public_bytes(Encoding.PEM).decode()


def is_of_key(certificate: Certificate, key: Key) -> bool:
    """Whether the certificate is for this key."""
    return certificate.public_key() == key.public_key()


def is_signed_by(certificate: Certificate, authority: Certificate) -> bool:
    """Whether the authority has signed the certificate."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, TypeError, ValueError):
        return False
    return True


def is_for(certificate: Certificate, hosts: Collection[str]) -> bool:
    """Whether the certificate is for exactly these names and addresses."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    return set(names) == set(_general_names(hosts))


def authority_of(key: Key, now: datetime) -> Certificate:
    """Make the certificate of an authority, signed by its own key."""
    return (
        _builder(_AUTHORITY_NAME, key, now, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(is_authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def sign_certificate(
    key: Key, authority_key: Key, hosts: Collection[str], now: datetime
) -> Certificate:
    """Make a server's certificate for names and addresses."""
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    return (
        _builder(_SERVER_NAME, key, now, CERTIFICATE_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(is_authority=False), critical=True)
        .add_extension(issuer, critical=False)
        .add_extension(server, critical=False)
        .add_extension(x509.SubjectAlternativeName(_general_names(hosts)), critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, key: Key, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(_AUTHORITY_NAME)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def _general_names(hosts: Collection[str]) -> list[x509.GeneralName]:
    return [_general_name(host) for host in dict.fromkeys(hosts)]


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
