"""What has its time: the audit goes to the disk and its heads are signed, and a key that served long enough goes."""

from __future__ import annotations

from keystore.errors import KeystoreError
from keystore.service import rotation
from keystore.service.core import Core
from keystore.service.log import AUDIT, CORE


def keep_audit(core: Core, *, anchor: bool) -> list[str]:
    """Sync, rotate, and with `anchor` sign the heads and remove what was kept for its time.

    Return the lines that must be told whatever the level of the log: a head outside the file is what proves it.
    """
    now, auditing = core.now(), core.auditing
    told: list[str] = []
    try:
        for line in auditing.upkeep(now):
            core.log.warn(AUDIT, line)
        auditing.sync()
        if anchor:
            told += auditing.retire(now)
            told += [f"audit head: {line}" for line in auditing.anchor(now)]
            _remember(core)
    except (KeystoreError, OSError) as error:
        core.log.error(AUDIT, str(error))
    return told


def keep_key(core: Core) -> None:
    """Begin a new term where the one that seals has served long enough, else keep how often it did."""
    try:
        opened = core.open
        term = opened.store.keyring.active
        if rotation.read(opened.view()).due(term, core.now()):
            core.rotate()
            told = f"term {term.number + 1}, after {term.written} uses of the one before"
            core.log.info(CORE, f"the key of the store was rotated: {told}")
            return
        view = opened.view()
        for path, data in rotation.use_of(opened.store).items():
            view.put(path, data)
        view.finish(_ignore)
    except (KeystoreError, OSError) as error:
        core.log.error(CORE, f"the key of the store: {error}")


def _remember(core: Core) -> None:
    """Let the store keep where each log ends, if that is not what it keeps already."""
    view = core.open.view()
    for path, head in core.auditing.heads().items():
        if view.get(path) != head:
            view.put(path, head)
    view.finish(_ignore)


def _ignore(_error: KeystoreError | None) -> None:
    """What could not be kept is kept with the next one."""
