"""What makes an install impossible, told before anything is changed."""

from __future__ import annotations

import os

from bundler.errors import HostError
from bundler.installer.facts import Facts
from bundler.installer.layout import MARK, Layout, unit_name
from bundler.installer.plan import Plan

# What the services' bytecode, the journal, settings and the file systems' own bookkeeping may take.
_RESERVE_BYTES = 64 * 1024 * 1024


def check_owner(layout: Layout) -> None:
    """Check that whoever runs this owns the host's root.

    Raises:
        HostError: it is someone else.
    """
    if os.geteuid() != layout.root.stat().st_uid:
        raise HostError("expected to run as root", hint="run it with sudo")


def check_host(facts: Facts, machine: str) -> None:
    """Check what the host must be, whatever the plan is.

    Raises:
        HostError: the exact gap.
    """
    if facts.machine != machine:
        raise HostError(
            f"expected a host of {machine}, this is {facts.machine}", hint=f"bring the bundle for {facts.machine}"
        )
    if not facts.has_systemd:
        raise HostError(
            "expected systemd as process 1, /run/systemd/system is not there",
            hint="Ferry installs services of systemd; a container without it cannot hold them",
        )


def check_plan(plan: Plan, facts: Facts) -> None:
    """Check that the plan can be carried out here.

    Raises:
        HostError: the exact gap.
    """
    _check_space(plan, facts)
    _check_ports(plan, facts)
    if plan.idle_images and plan.wanted.manifest.images_needed:
        raise HostError(
            "expected a container runtime (podman, docker or containerd), none is here",
            place="images",
            hint="install one, or use a bundle that brings one with its debs",
        )
    if facts.launcher and MARK not in facts.launcher:
        raise HostError(
            "expected no file or Ferry's own, got another program's",
            place="/usr/local/bin/ferry",
            hint="move it elsewhere",
        )


def _check_space(plan: Plan, facts: Facts) -> None:
    store, programs = facts.store_space, facts.programs_space
    if not plan.store_bytes and not plan.tree_bytes:
        return
    if store.device == programs.device:
        needs = [("/var/lib/ferry and /opt/ferry", store.free_bytes, plan.store_bytes + plan.tree_bytes)]
    else:
        needs = [
            ("/var/lib/ferry", store.free_bytes, plan.store_bytes),
            ("/opt/ferry", programs.free_bytes, plan.tree_bytes),
        ]
    for place, free, needed in needs:
        if needed + _RESERVE_BYTES > free:
            gap = needed + _RESERVE_BYTES - free
            raise HostError(
                f"expected {_mib(needed + _RESERVE_BYTES)} free, got {_mib(free)}: {_mib(gap)} are missing",
                place=place,
                hint="free that much on the file system, or mount a larger one there",
            )


def _mib(count: int) -> str:
    """Return whole MiB, rounded up so that a gap is never told as 0."""
    return f"{-(-count // (1024 * 1024))} MiB"


def _check_ports(plan: Plan, facts: Facts) -> None:
    for service in plan.wanted.services:
        owner = facts.ports.get(service.port)
        ours = {unit_name(name) for name in facts.units}
        if owner is not None and owner not in ours:
            raise HostError(
                f"expected port {service.port} to be free, {owner or 'another program'} listens on it",
                place=f"services: {service.name}",
                hint="stop that program or move it to another port",
            )
