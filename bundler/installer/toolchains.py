"""The Pythons that install.sh put on this host, each by the digest of its content."""

from __future__ import annotations

import shutil
from contextlib import suppress

from bundler.errors import HostError
from bundler.installer.layout import Layout


def remove_unused(layout: Layout) -> None:
    """Remove those that the command `ferry` does not start, the one that runs this among them: all of it is loaded.

    Raises:
        HostError: one cannot be removed.
    """
    launcher = layout.launcher.read_text("utf-8", "replace") if layout.launcher.is_file() else ""
    for path in layout.toolchains.glob("*"):
        if f"/{layout.toolchains.name}/{path.name}/" not in launcher:
            try:
                shutil.rmtree(path)
            except OSError as error:
                raise HostError(f"it cannot be removed: {error.strerror}", place=str(error.filename)) from error
    for directory in (layout.toolchains, layout.programs):
        with suppress(OSError):
            directory.rmdir()
