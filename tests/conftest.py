"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# A busy machine makes any single example slow; how long it takes is not what these tests are about.
settings.register_profile("any-machine", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=20)
settings.load_profile("any-machine")
