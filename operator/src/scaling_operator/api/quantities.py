"""Kubernetes quantities as numbers: `4Gi` is 4294967296, `500m` is 0.5.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import math
import re

from scaling_operator.api.problems import shown

MEBIBYTE = 2**20
GIBIBYTE = 2**30

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|k|K|M|G|T|P|Ki|Mi|Gi|Ti|Pi|e[0-9]+)?")
_FACTORS = {
    "m": 1e-3,
    "k": 1e3,
    "K": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
    "Pi": 2**50,
}


def parse_quantity(text: str) -> float:
    """Read a quantity as a number of its unit: bytes, cores. Raises ValueError where it is none."""
    found = _QUANTITY.fullmatch(text)
    if found is None:
        message = f"{shown(text)} is not a quantity: write for example 2, 500m or 4Gi"
        raise ValueError(message)
    number, suffix = found.groups()
    if suffix is None:
        return float(number)
    if suffix in _FACTORS:
        return float(number) * _FACTORS[suffix]
    return float(number + suffix)


def format_bytes(size_bytes: float) -> str:
    """Write a size for a request: whole mebibytes, rounded up; `2Gi` where it is whole."""
    mebibytes = max(1, math.ceil(size_bytes / MEBIBYTE))
    gibibytes, rest = divmod(mebibytes, GIBIBYTE // MEBIBYTE)
    return f"{mebibytes}Mi" if rest else f"{gibibytes}Gi"


def format_cores(cores: float) -> str:
    """Write a number of CPUs for a request: whole ones, or thousandths rounded up."""
    thousandths = max(1, math.ceil(cores * 1000 - 1e-9))
    whole, rest = divmod(thousandths, 1000)
    return f"{thousandths}m" if rest else str(whole)
