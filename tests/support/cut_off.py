"""Install in a process that dies at its n-th wait for the disk: `cut_off.py HOST N SETTING BUNDLE...`.

All bundles but the last are installed before that, undisturbed.
"""

import os
import sys
from pathlib import Path

from hosts import Host

DIED = 77


def main() -> None:
    """Die with status 77, or end with 0 when the install needed fewer waits."""
    root, waits, change, *before, last = sys.argv[1:]
    host = Host(Path(root))
    for bundle in before:
        host.install(Path(bundle))
    left = [int(waits)]
    real = os.fsync

    def fsync(fd: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            os._exit(DIED)
        real(fd)

    os.fsync = fsync
    host.install(Path(last), change)
    os._exit(0)


if __name__ == "__main__":
    main()
