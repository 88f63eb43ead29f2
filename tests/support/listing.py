"""What is on a machine, to be compared before and after."""

from __future__ import annotations

from machine import Machine

# Not what runs or what the system writes by itself. dpkg and apt keep their own books: what they say is installed is
# compared instead.
_LEFT_OUT = (
    *("/proc", "/sys", "/run", "/tmp", "/mnt", "/var/log", "/var/tmp", "/var/lib/systemd", "/var/cache/ldconfig"),
    *("/var/lib/dpkg", "/var/lib/apt", "/var/cache/apt"),
)


def listing(machine: Machine) -> set[str]:
    """Return every path."""
    words = [word for path in _LEFT_OUT for word in ("-not", "-path", f"{path}/*")]
    return set(machine.run(["find", "/", "-xdev", *words]).stdout.splitlines())


def packages(machine: Machine) -> set[str]:
    """Return every installed package with its version."""
    return set(machine.run(["dpkg-query", "--show", "--showformat=${Package} ${Version}\n"]).stdout.splitlines())


def names(of: set[str]) -> set[str]:
    """Return the names of packages with versions."""
    return {line.split(" ")[0] for line in of}
