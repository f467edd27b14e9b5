"""PromQL that recurs."""

from __future__ import annotations

INTERVAL = "[$__rate_interval]"


def per_second(counter: str, by: str, where: str = "") -> str:
    """Write a counter's rate, summed up by labels; `where` is a selector in braces."""
    return f"sum by ({by}) (rate({counter}{where}{INTERVAL}))"


def quantile(share: float, histogram: str, by: str = "", where: str = "") -> str:
    """Write a quantile of a histogram, by further labels."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, {per_second(f'{histogram}_bucket', labels, where)})"
