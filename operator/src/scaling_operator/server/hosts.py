"""Which names a server answers to: a page of somebody else's name must not read it.

A browser lets a page read what its own name serves, and whoever owns a name may point it at this
server for a moment (DNS rebinding). The Host header tells: nobody can own an address, `localhost`,
a name without a dot or one of Kubernetes' Services.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

_LOCAL = "localhost"
_OF_SERVICES = (".svc", ".svc.cluster.local")


def answers_to(host: str, names: Collection[str]) -> bool:
    """Whether a request with this Host header is answered; `names` are those that were told."""
    name = _name_in(host)
    if not name:
        return False
    if "." not in name or name in {each.lower() for each in names}:
        return True
    return name.endswith((f".{_LOCAL}", *_OF_SERVICES)) or _is_address(name)


def _name_in(host: str) -> str:
    """Take the port off; empty where that is no name at all."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
    return name.removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
