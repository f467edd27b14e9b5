"""Kubernetes quantities as numbers: `4Gi` is 4294967296, `500m` is 0.5.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import math
import re

from scaling_operator.api.problems import shown

MEBIBYTE = 2**20
GIBIBYTE = 2**30

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
QUANTITY_PATTERN = rf"^[0-9]+(\.[0-9]+)?({'|'.join(_FACTORS)}|e[0-9]+)?$"
QUANTITY_LENGTH = 32


def parse_quantity(text: str) -> float:
    """Read a quantity as a number of its unit: bytes, cores. Raises ValueError where it is none."""
    match = re.fullmatch(QUANTITY_PATTERN, text)
    if match is None:
        raise ValueError(not_a_quantity(text))
    suffix = match[2] or ""
    if suffix in _FACTORS:
        return float(text.removesuffix(suffix)) * _FACTORS[suffix]
    return float(text)


def not_a_quantity(value: object) -> str:
    """Say that a value is no quantity, and what one looks like."""
    return f"{shown(value)} is not a quantity: write for example 2, 500m or 4Gi"


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
