"""What the audit needs by the clock: the disk each second, new files, signed heads, retention."""

from __future__ import annotations

from keystore.errors import KeystoreError
from keystore.service.core import Core


def keep_audit(core: Core, *, anchor: bool) -> list[str]:
    """Sync, rotate, and with `anchor` sign the heads and remove what was kept for its time; return lines to tell."""
    now, auditing = core.now(), core.auditing
    told: list[str] = []
    try:
        told += [f"warning: {line}" for line in auditing.upkeep(now)]
        auditing.sync()
        if anchor:
            told += auditing.retire(now)
            told += [f"audit head: {line}" for line in auditing.anchor(now)]
            _remember(core)
    except (KeystoreError, OSError) as error:
        told.append(f"error: {error}")
    return told


def _remember(core: Core) -> None:
    """Let the store keep where each log ends, if that is not what it keeps already."""
    view = core.open.view()
    for path, head in core.auditing.heads().items():
        if view.get(path) != head:
            view.put(path, head)
    view.finish(_ignore)


def _ignore(_error: KeystoreError | None) -> None:
    """A head that could not be kept is kept with the next one."""
