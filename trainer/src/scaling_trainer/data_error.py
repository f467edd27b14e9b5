"""The error for a user's data that cannot be used."""

from __future__ import annotations


class DataError(ValueError):
    """Data that cannot be used.

    `path` names the field of the configuration (`dataset.target`) or the column of a frame.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message
