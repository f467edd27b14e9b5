"""Seeds: one for each slot, so that a proposal never depends on how often a process restarted."""

from __future__ import annotations

import hashlib


def slot_seed(base: str | int, scale: int, number: int) -> int:
    """Give the seed of a slot: the first 4 bytes of SHA-256 over `base`, scale and number.

    `base` is `algorithm.seed`, or the experiment's uid where there is none. SHA-256, because
    Python's own hash of a text differs from process to process.
    """
    digest = hashlib.sha256(f"{base}/{scale}/{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big")
