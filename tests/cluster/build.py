"""Build the programs of the test cluster ahead: `python tests/cluster/build.py [NAME ...]`.

Without names it builds what rings 2 and 3 need.
"""

from __future__ import annotations

import sys
import time

from testbed.binaries import PROGRAMS, BuildFailed, GoMissing, ensure


def main(names: list[str]) -> int:
    """Build the named programs, saying what takes how long; 1 where one cannot be built."""
    unknown = [name for name in names if name not in PROGRAMS]
    if unknown:
        sys.stderr.write(f"unknown: {', '.join(unknown)}; known: {', '.join(PROGRAMS)}\n")
        return 1
    start = time.monotonic()

    def tell(text: str) -> None:
        sys.stderr.write(f"{time.monotonic() - start:6.1f} s  {text}\n")

    try:
        paths = ensure(names or tuple(PROGRAMS), tell)
    except (GoMissing, BuildFailed) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    tell("ready:")
    sys.stdout.writelines(f"{path}\n" for path in paths.values())
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
