"""A host in a directory: a systemd that really answers on ports, and small bundles with services for it."""

from __future__ import annotations

import io
import os
import re
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bundles import SIGNER, Key, packed, small_manifest

from bundler.errors import StepError
from bundler.installer.audit import HostLog, Operator
from bundler.installer.facts import Facts
from bundler.installer.install import Outcome, Session, install
from bundler.installer.layout import Layout
from bundler.installer.options import Options
from bundler.installer.plan import Plan
from bundler.installer.resume import resume
from bundler.installer.rollback import rollback
from bundler.installer.systemd import UnitState
from bundler.installer.takeback import TakenBack
from bundler.installer.wanted import Wanted, want
from bundler.medium import Ask, Medium
from bundler.model.descriptor import LAYER, WHEEL
from bundler.model.manifest import Manifest
from bundler.model.platform import platform_of_machine
from bundler.model.progress import Silent
from bundler.model.service import Service
from bundler.store import Store
from bundler.tree import pack_layer
from bundler.verify import read_trust

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PYTHON = "/opt/ferry/toolchains/0123456789abcdef/usr/bin/python3.11"


OPERATOR = Operator(user="li", uid="1000", login_uid="1000")


class _Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        pass


class SimulatedSystemd:
    """A systemd whose services answer on their ports; those in `broken` fail when they are started.

    `broken_once` counts the starts of a unit that fail before one is right.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.enabled: set[str] = set()
        self.broken: set[str] = set()
        self.broken_once: Counter[str] = Counter()
        self.calls: list[str] = []
        self._servers: dict[str, ThreadingHTTPServer] = {}
        self._failed: set[str] = set()

    def states(self, units: Sequence[str]) -> Mapping[str, UnitState]:
        return {unit: self._state(unit) for unit in units}

    def _state(self, unit: str) -> UnitState:
        active = "active" if unit in self._servers else "failed" if unit in self._failed else "inactive"
        return UnitState(active=active, enabled=unit in self.enabled, since="today")

    def reload(self) -> None:
        self.calls.append("reload")

    def enable(self, units: Sequence[str]) -> None:
        for unit in units:
            self._text(unit)
        self.enabled |= set(units)

    def disable(self, units: Sequence[str]) -> None:
        self.enabled -= set(units)

    def start(self, unit: str) -> None:
        self.calls.append(f"start {unit}")
        if not unit.endswith(".service"):
            return
        port = re.search(r'"PORT=(\d+)"', self._text(unit))
        assert port is not None
        if unit in self.broken or self.broken_once[unit] > 0:
            self.broken_once[unit] -= 1
            self._failed.add(unit)
            return
        if unit not in self._servers:
            server = ThreadingHTTPServer(("127.0.0.1", int(port[1])), _Ready)
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            self._servers[unit] = server

    def stop(self, units: Sequence[str]) -> None:
        for unit in units:
            self.calls.append(f"stop {unit}")
            self._failed.discard(unit)
            if server := self._servers.pop(unit, None):
                server.shutdown()
                server.server_close()

    def log(self, unit: str, lines: int) -> str:
        return f"the last words of {unit}"

    def _text(self, unit: str) -> str:
        try:
            return (self.layout.units / unit).read_text()
        except FileNotFoundError as error:
            raise StepError(f"{unit} not found") from error


class Host:
    """A host in a directory of its own."""

    def __init__(self, root: Path) -> None:
        for path in ("etc/systemd/system", "run/systemd/system", "usr/local/bin", "var/lib", "var/cache", "opt"):
            (root / path).mkdir(parents=True, exist_ok=True)
        (root / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n')
        self.root = root
        self.layout = Layout(root=root)
        self.systemd = SimulatedSystemd(self.layout)
        self.asked: tuple[Plan, str | None] | None = None
        self.trust = root.parent / "release.pem"
        self.trust.write_text(SIGNER.public.pem())

    ask: Ask | None = None
    now = NOW
    password: Callable[[], str] | None = None

    def install(self, bundle: bytes | Path, *changes: str, **options: object) -> Outcome:
        """Install a bundle with everything but the defaults in `options`."""
        path = bundle if isinstance(bundle, Path) else self.put(bundle)
        chosen = Options(
            trust=(self.trust,),
            algorithm="sm3",
            changes=changes,
            dry_run=False,
            accept_expired=False,
            allow_older=False,
            python=PYTHON,
            operator=OPERATOR,
        )
        if "trust" in options:
            named = options["trust"]
            options["trust"] = named if isinstance(named, tuple) else (named,) if named else ()
        chosen = replace(chosen, **options)  # type: ignore[arg-type]
        outcome = install(
            Medium(path, self.ask, self.password),
            chosen,
            layout=self.layout,
            systemd=self.systemd,
            now=self.now,
            progress=Silent(),
            agree=self._agree,
        )
        assert outcome is not None
        return outcome

    def session(self, **options: object) -> Session:
        """Return an operator's command on this host."""
        chosen = Options(
            trust=(),
            algorithm="sm3",
            changes=(),
            dry_run=False,
            accept_expired=False,
            allow_older=False,
            python=PYTHON,
            operator=OPERATOR,
        )
        return Session(
            kind="install",
            options=replace(chosen, **options),  # type: ignore[arg-type]
            layout=self.layout,
            systemd=self.systemd,
            log=HostLog(layout=self.layout, now=self.now, operator=OPERATOR),
            progress=Silent(),
            agree=self._agree,
        )

    def resume(self, bundle: Path | None = None) -> Outcome | TakenBack | None:
        """Finish what was cut off."""
        return resume(Medium(bundle) if bundle else None, self.session())

    def rollback(self, to: int | None = None, **options: object) -> Outcome | TakenBack | None:
        """Undo what was cut off, or go back."""
        return rollback(self.session(**options), to=to)

    def put(self, bundle: bytes) -> Path:
        """Write a bundle beside the host."""
        path = self.root.parent / "bundle.tar"
        path.write_bytes(bundle)
        return path

    def _agree(self, plan: Plan, stopped_at: str | None) -> bool:
        self.asked = (plan, stopped_at)
        return True

    def listing(self) -> dict[str, str]:
        """Return every path with its content, but for the journal, whose names follow the clock.

        Of marks, secret and audit log, which tell of every run, only that they are there.
        """
        found = {}
        for directory, names, files in os.walk(self.root):
            for name in (*names, *files):
                path = Path(directory, name)
                place = str(path.relative_to(self.root))
                if path.is_symlink():
                    found[place] = f"-> {path.readlink()}"
                elif path.is_dir():
                    found[place] = "directory"
                elif place.startswith(("var/lib/ferry/memory/", "var/lib/ferry/audit/")):
                    found[place] = "of this host alone"
                elif "/journal/" not in place:
                    found[place] = path.read_bytes().hex()[:4000]
        return found

    def close(self) -> None:
        self.systemd.stop([*self.systemd._servers])


def service(name: str, port: int, **changes: object) -> Service:
    """Return a service of the simulated systemd."""
    plain = Service(
        name=name,
        description=f"The {name}",
        run=("python", "-m", name),
        directory="srv/data",
        port=port,
        ready="/ready",
        environment=(("PORT", str(port)),),
        start_timeout_s=5,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def host_manifest(work: Path, services: Sequence[Service], **changes: object) -> tuple[Manifest, dict[str, bytes]]:
    """Return a manifest with a runtime, a wheel, a file and services, and the bytes of its entries."""
    tree = work / "runtime"
    (tree / "usr/bin").mkdir(parents=True, exist_ok=True)
    (tree / "usr/bin/python3.11").write_text("#!/bin/sh\n")
    store = Store(work / "store")
    runtime = store.read(pack_layer(tree, store).descriptor.sha256)
    manifest, contents = small_manifest([runtime, _wheel(), str(changes).encode()])
    kinds = (("python", "python3.11", LAYER), ("wheel", "sample-1-py3-none-any.whl", WHEEL))
    items = list(manifest.items)
    for index, (kind, name, media_type) in enumerate(kinds):
        descriptor = replace(items[index].descriptor, media_type=media_type)
        items[index] = replace(items[index], kind=kind, name=name, descriptor=descriptor, to="")
    platform = platform_of_machine(os.uname().machine)
    assert platform is not None
    given = {"items": tuple(items), "services": tuple(services), "platform": platform, **changes}
    return replace(manifest, **given), contents  # type: ignore[arg-type]


def host_bundle(work: Path, services: Sequence[Service], *, signer: Key = SIGNER, **changes: object) -> bytes:
    """Return a signed bundle for a host."""
    return packed(*host_manifest(work, services, **changes), signer)


def _wheel() -> bytes:
    out = io.BytesIO()
    info = "sample-1.dist-info"
    files = {
        "sample.py": "greeting = 'hello'\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: sample\nVersion: 1\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in files)
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return out.getvalue()


def wanted(host: Host, facts: Facts, manifest: Manifest) -> Wanted:
    """Return the state that a manifest wants of a host, without changes of the operator."""
    return want(manifest, "0" * 64, read_trust(host.trust), facts, changes={}, python=PYTHON)
