"""Credentials of services: files that root alone reads, sealed to this host where its systemd can, handed over by it.

They are sealed with the host's own key, not with its TPM: an update of the firmware must not lock a bank out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from bundler.errors import HostError
from bundler.installer.layout import Layout
from bundler.run import run
from bundler.store import write_file

SEALER = "/usr/bin/systemd-creds"
DIRECTORY = "/var/lib/ferry/secrets"
_INDEX = "index.json"
_TIMEOUT_S = 60
_MODE = 0o600
Index = Mapping[str, Mapping[str, str]]


def read_index(layout: Layout) -> dict[str, dict[str, str]]:
    """Return what there is, by service and credential: in words what each was made of, never a secret."""
    # A damaged list counts as none: each credential is then written anew, with what the keystore holds.
    with suppress(FileNotFoundError, PermissionError, ValueError, TypeError, AttributeError):
        found = json.loads((layout.secrets / _INDEX).read_bytes())
        return {str(name): {str(one): str(of) for one, of in values.items()} for name, values in found.items()}
    return {}


def write_index(layout: Layout, index: Index) -> None:
    """Write it down; nothing where there is nothing."""
    path = layout.secrets / _INDEX
    if index:
        make_directory(layout.secrets)
        write_file(path, json.dumps(index, sort_keys=True, indent=1).encode() + b"\n", _MODE)
    else:
        path.unlink(missing_ok=True)


def make_directory(path: Path) -> None:
    """Make a directory of root's alone."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)


def can_seal(layout: Layout) -> bool:
    """Say whether systemd seals credentials here: it can since version 250."""
    return layout.at(SEALER).exists()


def line(service: str, name: str, *, sealed: bool) -> str:
    """Return the line of a unit that hands a credential over."""
    return f"LoadCredential{'Encrypted' if sealed else ''}={name}:{DIRECTORY}/{service}/{name}"


def place(layout: Layout, service: str, name: str) -> Path:
    """Return where a credential lies."""
    return layout.secrets / service / name


def put(layout: Layout, service: str, name: str, value: str) -> None:
    """Write a credential, sealed where that can be."""
    path = place(layout, service, name)
    make_directory(layout.secrets)
    make_directory(path.parent)
    data = value.encode()
    if can_seal(layout):
        argv = [SEALER, "encrypt", "--with-key=host", f"--name={name}", "-", "-"]
        data = run(argv, timeout_s=_TIMEOUT_S, stdin=value).stdout.encode()
    write_file(path, data, _MODE)


def get(layout: Layout, service: str, name: str) -> str:
    """Read a credential.

    Raises:
        HostError: it is not there.
        StepError: this host's key does not open it.
    """
    path = place(layout, service, name)
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise HostError(
            "expected a credential, it is not there",
            place=str(path),
            hint="without it the keystore stays sealed: bring the file back from a copy of /var/lib/ferry/secrets",
        ) from error
    if can_seal(layout):
        return run([SEALER, "decrypt", f"--name={name}", path, "-"], timeout_s=_TIMEOUT_S).stdout
    return data.decode()
