"""What makes an install impossible, told before anything is changed."""

from __future__ import annotations

import os

from bundler.accelerators.catalogue import vendor
from bundler.errors import HostError
from bundler.installer.drivers import choose
from bundler.installer.escort.programs import check_interface, check_programs
from bundler.installer.facts import Facts
from bundler.installer.layout import MARK, Layout, unit_name
from bundler.installer.own_driver import waits_for_reboot
from bundler.installer.plan import Plan
from bundler.model.escort import GATEWAY

# What the services' bytecode, the journal, settings and the file systems' own bookkeeping may take.
RESERVE_BYTES = 64 * 1024 * 1024


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
    _check_drivers(plan, facts)
    check_programs(plan.wanted.manifest, facts)
    check_interface(plan.wanted, facts)
    check_space(plan, facts)
    check_ports(plan, facts)
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


def _check_drivers(plan: Plan, facts: Facts) -> None:
    """Refuse a host whose cards the payload could not use, and one that has not rebooted into its new driver."""
    for name, own in facts.own_drivers.items():
        if waits_for_reboot(own, facts.boot):
            raise HostError(
                f"expected a reboot: driver {own.package.version} of {vendor(name).title} works after it only",
                place="drivers",
                hint="reboot this host, then run the install again: it goes on where it ended",
            )
    for choice in choose(plan.wanted.manifest, facts.machines):
        if choice.decision.gap:
            title = vendor(choice.decision.vendor).title
            raise HostError(f"{title}: {choice.decision.gap}", place="drivers", hint=choice.decision.hint)


def check_space(plan: Plan, facts: Facts) -> None:
    """Refuse where a file system has too little room for the plan.

    Raises:
        HostError: what is needed, what is free, and where.
    """
    needs = (
        ("/var/lib/ferry", facts.store_space, plan.store_bytes),
        ("/opt/ferry", facts.programs_space, plan.tree_bytes),
        ("/usr", facts.system_space, plan.packages_bytes),
    )
    devices = dict.fromkeys(space.device for _, space, needed in needs if needed)
    for device in devices:
        here = [(place, space, needed) for place, space, needed in needs if needed and space.device == device]
        free = here[0][1].free_bytes
        needed = sum(one for _, _, one in here) + RESERVE_BYTES
        if needed > free:
            raise HostError(
                f"expected {_mib(needed)} free, got {_mib(free)}: {_mib(needed - free)} are missing",
                place=" and ".join(place for place, _, _ in here),
                hint="free that much on the file system, or mount a larger one there",
            )


def _mib(count: int) -> str:
    """Return whole MiB, rounded up so that a gap is never told as 0."""
    return f"{-(-count // (1024 * 1024))} MiB"


def check_ports(plan: Plan, facts: Facts) -> None:
    """Refuse where another program listens on a service's port.

    Raises:
        HostError: the port and who holds it.
    """
    ports = [(service.port, service.name) for service in plan.wanted.services if service.port]
    gateway = plan.wanted.manifest.escort.gateway
    ports += [(gateway.port, GATEWAY)] if gateway else []
    for port, name in ports:
        owner = facts.ports.get(port)
        ours = {unit_name(name) for name in facts.units}
        if owner is not None and owner not in ours:
            raise HostError(
                f"expected port {port} to be free, {owner or 'another program'} listens on it",
                place=f"services: {name}",
                hint="stop that program or move it to another port",
            )
