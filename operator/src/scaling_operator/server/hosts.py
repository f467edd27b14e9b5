"""Which Host headers a server answers: protection against DNS rebinding.

A browser lets a page read what the page's own host name serves. The owner of a host name can point
the name at this server for a moment: then a foreign page reads this server's answers. The Host
header shows the name, so foreign names are refused. Nobody can own an address,
`localhost`, a name without a dot or the name of a Service of Kubernetes.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

_LOCAL = "localhost"
_OF_SERVICES = (".svc", ".svc.cluster.local")


def answers_to(host: str, names: Collection[str]) -> bool:
    """Whether a request with this Host header is answered; `names` are further allowed names."""
    name = _name_in(host)
    if not name:
        return False
    if "." not in name or name in {known_name.lower() for known_name in names}:
        return True
    return name.endswith((f".{_LOCAL}", *_OF_SERVICES)) or _is_address(name)


def _name_in(host: str) -> str:
    """Remove the port; empty where the header is no name."""
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
