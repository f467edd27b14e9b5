"""Install what ring 3 needs of the system: `python tests/e2e/install.py`, as root on Debian.

Without root or apt-get it says what is missing, and that ring 3 will be skipped.
"""

from __future__ import annotations

import sys

from testnode.debian import InstallFailed, install


def main() -> int:
    """Install the missing packages; 1 where apt-get failed."""
    try:
        install(lambda text: print(text, file=sys.stderr))  # noqa: T201 # a command's answer
    except InstallFailed as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
