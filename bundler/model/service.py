"""A service that a bundle runs: the same value in the recipe, in the manifest and on the host."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """One request that shows that a service does its work: the answer must contain `expect`."""

    method: str
    path: str
    body: str
    expect: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """A long-running process of the payload.

    Args:
        name: unit and user are called `ferry-NAME`.
        description: one line for the unit.
        run: argument vector; a first word `python` means the bundle's own Python.
        directory: working directory below the root.
        port: the loopback TCP port that it listens on.
        ready: path that answers 200 when it can work.
        environment: fixed settings, sorted by name.
        settings: names that the operator may set in /etc/ferry/NAME.env.
        after: services that must be up first.
        unless: a setting `SERVICE.NAME`; when the operator has set it, this service is not started.
        state: whether it keeps data in /var/lib/ferry-NAME.
        start_timeout_s: how long it may take to become ready.
        memory_max_mib: the limit that its unit sets, 0 for none.
        probe: the request by which a build shows that it works, if any.
    """

    name: str
    description: str
    run: tuple[str, ...]
    directory: str
    port: int
    ready: str
    environment: tuple[tuple[str, str], ...] = ()
    settings: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    unless: str = ""
    state: bool = False
    start_timeout_s: int = 60
    memory_max_mib: int = 0
    probe: Probe | None = None
