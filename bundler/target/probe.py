"""The script that describes an isolated host; it runs there with sh and nothing of Ferry."""

from __future__ import annotations

from importlib.resources import files


def probe_script() -> bytes:
    """Return the script's bytes."""
    return (files(__package__) / "probe.sh").read_bytes()
