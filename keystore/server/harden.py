"""Keep what is in memory out of swap, core files and other processes' reach, as far as the system lets us."""

from __future__ import annotations

import ctypes
import resource

_PR_SET_DUMPABLE = 4
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4


def harden() -> list[str]:
    """Forbid core files and debuggers, lock the memory; return what was refused, in words for the operator."""
    refused = []
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        refused.append("the process may be dumped: prctl was refused")
    # Pages are locked as they are touched; without that flag every thread's whole stack would become resident.
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) != 0:
        refused.append("keys may reach the swap: mlockall was refused (grant CAP_IPC_LOCK or LimitMEMLOCK=infinity)")
    return refused
