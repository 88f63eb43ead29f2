"""What runs first in the sandbox: shut the way back to the host, bring loopback up, go on with a script.

Runs on its own, by the payload's Python: standard library only. Called as `inside.py SCRIPT`.
"""

import ctypes
import fcntl
import os
import runpy
import socket
import struct
import sys

_DETACH = 2


def leave_host(old):
    """Unmount the host's root, which pivot_root(2) left at `old`."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(old.encode(), _DETACH) != 0:
        raise OSError(ctypes.get_errno(), "the host's root cannot be unmounted")
    os.rmdir(old)


def bring_loopback_up():
    """Set the `up` flag of lo (netdevice(7)): a new namespace has it down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))


if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    leave_host(os.path.join(here, "old"))
    bring_loopback_up()
    os.umask(0o022)
    runpy.run_path(os.path.join(here, sys.argv[1]), run_name="__main__")
