"""The state directory: whether it can be written, and files in it that are whole or absent."""

import os
import tempfile
from pathlib import Path

from conversation import is_safe_id


def state_problem(path: Path) -> str | None:
    """Return why sessions cannot be kept in a directory, or None when they can."""
    if not os.access(path, os.W_OK | os.X_OK):
        return f"state directory {str(path)!r} is not writable"
    if os.statvfs(path).f_bavail == 0:
        return f"state directory {str(path)!r} has no space left"
    return None


def session_file(directory: Path, user_id: str, session_id: str) -> Path:
    """Return the file of a session, which no other session has; its directory is made.

    Raises:
        ValueError: an id is no file name.
    """
    if not is_safe_id(session_id) or not is_safe_id(user_id):
        raise ValueError("session or user id cannot be a file name")
    path = directory / user_id / f"{session_id}.json"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def replace_file(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    descriptor, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogatepass") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
