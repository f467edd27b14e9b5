"""Every bound on what repeats or waits, but for those that a file or an option sets."""

from __future__ import annotations

RESERVED_SECONDS = 300.0
"""Room for a workload whose create got no answer. A request may take 30 s, a resync follows within
two minutes; after both the index knows."""
