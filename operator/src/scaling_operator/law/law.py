"""The law L(N, D) = E + A/N^alpha + B/D^beta as a value, for one fit or for many draws at once.

Coefficients are kept as logarithms, as they are fitted. Each field has the shape (k,): k = 1 for a
fit, k = the number of resamples for a bootstrap. In the one-variable form L = E + A/N^alpha the
second term is absent: ln B is -inf and beta is NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from scaling_operator.law.points import Array


@dataclass(frozen=True, slots=True)
class Law:
    """Coefficients, each of shape (k,): ln A, ln B, ln E and the two exponents, in this order."""

    ln_a: Array
    ln_b: Array
    ln_e: Array
    alpha: Array
    beta: Array

    @property
    def E(self) -> Array:  # noqa: N802
        """Irreducible loss."""
        return _exp(self.ln_e)

    @property
    def A(self) -> Array:  # noqa: N802
        """Coefficient of the term in N."""
        return _exp(self.ln_a)

    @property
    def B(self) -> Array:  # noqa: N802
        """Coefficient of the term in D."""
        return _exp(self.ln_b)

    @property
    def a(self) -> Array:
        """Exponent of the optimal size, N* ~ C^a, a = beta / (alpha + beta)."""
        return self.beta / (self.alpha + self.beta)

    @property
    def one_variable(self) -> bool:
        """Whether the law has no term in D."""
        return bool(np.isnan(self.beta).all())

    @property
    def sound(self) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Where, shape (k,), the coefficients are finite and both exponents positive."""
        finite = np.isfinite(self.ln_a) & np.isfinite(self.ln_e) & (self.alpha > 0)
        if self.one_variable:
            return finite
        return finite & np.isfinite(self.ln_b) & (self.beta > 0)


def law_of(coefficients: tuple[float, float, float], exponents: tuple[float, float]) -> Law:
    """Build a law of one draw from (A, B, E), all positive, and (alpha, beta)."""
    log_a, log_b, log_e = np.log(np.array(coefficients)).reshape(3, 1)
    alpha, beta = np.array(exponents).reshape(2, 1)
    return Law(log_a, log_b, log_e, alpha, beta)


def mapped(law: Law, change: Callable[[Array], Array]) -> Law:
    """Apply a change to the column of each coefficient."""
    return Law(**{field.name: change(getattr(law, field.name)) for field in fields(law)})


def pick(law: Law, index: int) -> Law:
    """Return one draw of a law."""
    return mapped(law, lambda column: column[index : index + 1])


def loss(law: Law, parameters: Array, tokens: Array | None) -> Array:
    """Return L, shape (k, n), at sizes N and tokens D of shape (n,) or (k, n)."""
    total = law.E[:, None] + _exp(law.ln_a[:, None] - law.alpha[:, None] * np.log(parameters))
    if law.one_variable or tokens is None:
        return total
    return total + _exp(law.ln_b[:, None] - law.beta[:, None] * np.log(tokens))


def _exp(exponent: Array) -> Array:
    """Return exp, infinite where a resample has a coefficient beyond the floats."""
    with np.errstate(over="ignore"):
        return np.exp(exponent)
