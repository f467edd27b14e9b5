"""How numbers, sizes, times and lists are written for a reader."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from scaling_operator.api.fields import Scalar

# Stands for what is unknown or does not apply.
NOTHING = "\N{EN DASH}"
_PLAIN_FROM, _PLAIN_BELOW = 1e-4, 1e6
_PREFIXES = ((1e21, "Z"), (1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def number(value: float, digits: int = 4) -> str:
    """Write a number with so many significant digits: 0.01234, 12,340 or 1.234e-7."""
    size = abs(value)
    if size and not _PLAIN_FROM <= size < _PLAIN_BELOW:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        trimmed = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return f"{trimmed}e{int(exponent)}"
    if size >= 10**digits or float(value).is_integer():
        return f"{value:,.0f}"
    rounded = f"{value:.{digits}g}"
    return f"{value:,.0f}" if "e" in rounded else rounded


def quantity(value: float, unit: str = "") -> str:
    """Write a number with its prefix, where it is large: 1.23 k, 45.6 M, 7 TFLOP."""
    for factor, prefix in _PREFIXES:
        if abs(value) >= factor:
            return f"{number(value / factor, 3)} {prefix}{unit}"
    return f"{number(value, 3)} {unit}".rstrip()


def duration(seconds: float) -> str:
    """Write a time in the two units that matter: 0.42 s, 12.3 s, 4 min 5 s, 1 h 23 min, 2 d 3 h."""
    if seconds < _MINUTE:
        return f"{seconds:.3g} s" if seconds < _MINUTE - 0.05 else "1 min"
    whole = round(seconds)
    for size, name, smaller, smaller_name in (
        (_DAY, "d", _HOUR, "h"),
        (_HOUR, "h", _MINUTE, "min"),
        (_MINUTE, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {name}" + (f" {rest} {smaller_name}" if rest else "")
    return f"{whole} s"


def percent(share: float) -> str:
    """Write a share of one as per cent: 96.5 %."""
    return f"{100 * share:.3g} %"


def scalar(value: Scalar) -> str:
    """Write a parameter's value: true as in YAML, numbers with four digits, text as it is."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int():
            return f"{value:,}"
        case float():
            return number(value)


def plural(count: int, noun: str) -> str:
    """Write how many of something there are: 1 trial, 3 trials."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def listing(parts: Sequence[str]) -> str:
    """Join words as in a sentence: a, b and c."""
    if len(parts) <= 1:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Give each dotted name its last part, where no other name ends in the same."""
    whole = tuple(names)
    ends = Counter(name.rpartition(".")[2] for name in whole)
    return {name: end if ends[end := name.rpartition(".")[2]] == 1 else name for name in whole}


def shortened(text: str, length: int) -> str:
    """Cut a long text in its middle, so that both ends stay readable."""
    if len(text) <= length:
        return text
    head = (length - 1) // 2
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"
