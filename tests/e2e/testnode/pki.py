"""Keys and certificates of a control plane, by openssl, in the files that kwokctl's have too."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

_NAMES = ("kubernetes.default.svc", "kubernetes.default", "kubernetes", "localhost")


def make(folder: Path, addresses: Sequence[str]) -> None:
    """Write an authority, the API server's certificate and its admin's, and a signing key."""
    folder.mkdir()
    _openssl(folder, "genrsa", "-out", "sa.key", "2048")
    _certify(folder, "ca", "/CN=ca")
    signed = ("-CA", "ca.crt", "-CAkey", "ca.key")
    names = (*(f"DNS:{name}" for name in _NAMES), *(f"IP:{address}" for address in addresses))
    alternatives = f"subjectAltName={','.join(names)}"
    _certify(folder, "apiserver", "/CN=apiserver", *signed, "-addext", alternatives)
    _certify(folder, "admin", "/O=system:masters/CN=admin", *signed)


def _certify(folder: Path, name: str, subject: str, *options: str) -> None:
    files = ("-keyout", f"{name}.key", "-out", f"{name}.crt", "-subj", subject)
    new = ("-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30")
    _openssl(folder, "req", *new, *files, *options)


def _openssl(folder: Path, *arguments: str) -> None:
    command = ["openssl", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)
