"""install.sh: what runs on the isolated host before any Python does."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from bundler.model.descriptor import Descriptor
from bundler.model.platform import Platform


def install_script(
    platform: Platform, runtime: Descriptor, wheels: Sequence[tuple[str, Descriptor]], python: str
) -> bytes:
    """Return install.sh with the digests of the toolchain of one bundle written in."""
    text = (files(__name__) / "install.sh").read_text("utf-8")
    listed = "\n".join(f"{descriptor.sha256} {name}" for name, descriptor in wheels)
    values = {"MACHINE": platform.machine, "PYTHON": python, "RUNTIME": runtime.sha256, "WHEELS": listed}
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text.encode()
