"""What no text that others wrote may bring to a terminal."""

from __future__ import annotations

import re

ACTIVE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")
