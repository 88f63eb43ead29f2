"""The audit of the service: each request before it is carried out, each response before it leaves; secrets as HMACs."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from keystore import document
from keystore.access import duration
from keystore.algorithm import SM2
from keystore.barrier.overlay import View
from keystore.barrier.store import Tail
from keystore.chain import START, Head
from keystore.engines.request import RequestError
from keystore.errors import KeystoreError
from keystore.service.auditfile import AuditFile
from keystore.service.auditsyslog import DEFAULT_FACILITY, DEFAULT_SOCKET, DEFAULT_TAG, AuditSyslog
from keystore.signer import Signer

TABLE = "core/audit"
KEYS = "core/audit-key/"
HEADS = "core/audit-head/"
RETENTION_S = 180 * 86_400
"""No audit file is removed sooner. Source: Cybersecurity Law of China, article 21: logs are kept for six months."""
ROTATE_BYTES = 256 * 1024 * 1024
_CALLERS_KEPT = 256
_REFUSED = "cannot write the audit log: the request is refused"
_TOKEN = re.compile(r"hv[sb]\.[A-Za-z0-9_-]{16,}")
Mac = Callable[[str, bytes], bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One device of the table, as it is kept."""

    path: str
    type: str
    description: str
    options: Mapping[str, str]
    local: bool
    public: str


class Device:
    """One open device: where its lines go, the key that HMACs secrets, and the key that signs its head."""

    def __init__(self, entry: Entry, signer: Signer, mac: Mac, profile_mac: str) -> None:
        self.entry = entry
        self.file = _sink(entry)
        self._signer = signer
        self._mac = mac
        self._mac_name = profile_mac
        self._raw = entry.options.get("log_raw") == "true"
        self._anchored = ""
        self._purpose = f"audit/{entry.path}"
        self._hashes: dict[str, str] = {}
        self._rotate_bytes = int(entry.options.get("rotate_bytes") or ROTATE_BYTES)
        self._rotate_s = duration.parse(entry.options.get("rotate_period"), "rotate_period")
        self._keep = timedelta(seconds=duration.parse(entry.options.get("retention"), "retention"))
        self.anchors = _anchors(entry)

    def hash(self, text: str) -> str:
        """Return what stands in the log for a secret."""
        found = self._mac(self._purpose, text.encode("utf-8", "replace"))
        return f"hmac-{self._mac_name}:{found.hex()}"

    def hash_caller(self, text: str) -> str:
        """Return the same for a token or an accessor: these come again and again, so the last ones are remembered."""
        found = self._hashes.get(text)
        if found is None:
            if len(self._hashes) >= _CALLERS_KEPT:
                self._hashes.clear()
            found = self._hashes[text] = self.hash(text)
        return found

    def without_tokens(self, path: str) -> str:
        """Return a path with what looks like a token in it hashed: somebody may have put one there by mistake."""
        return _TOKEN.sub(lambda found: self.hash(found[0]), path) if "hv" in path else path

    def masked(self, value: Any, clear: frozenset[str] = frozenset()) -> Any:
        """Return a value with each string in it hashed, but for the keys that are to be clear."""
        if self._raw:
            return value
        if isinstance(value, str):
            return self.hash(value)
        if isinstance(value, (dict, Mapping)):
            return {key: one if key in clear else self.masked(one) for key, one in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.masked(one) for one in value]
        return value

    def write(self, event: Mapping[str, Any], now: datetime) -> None:
        """Write an event; the data of one that is too long is told by its hash alone.

        Raises: KeystoreError.
        """
        try:
            self.file.append(event, now)
        except KeystoreError as error:
            if error.place != "audit":
                raise
            self.file.append(self._shortened(event), now)

    def _shortened(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        found = {}
        for name, part in event.items():
            long = isinstance(part, Mapping) and len(document.canonical(part)) > 4096
            found[name] = {"shortened": self.hash(document.canonical(part).decode())} if long else part
        return found

    def anchor(self, now: datetime) -> str:
        """Sign the head of the file, and keep head and signature in the file and outside; return the line, or ''."""
        head = self.file.head
        if not head.count or head.hash == self._anchored:
            return ""
        told = {"seq": head.count, "hash": head.hash}
        signature = base64.b64encode(self._signer.sign(document.canonical(told))).decode()
        signed = {**told, "keyid": self._signer.keyid, "signature": signature}
        self.file.append({"kind": "head", **signed}, now)
        self.file.sync()
        self._anchored = self.file.head.hash
        line = document.canonical({**signed, "file": self.file.path.name})
        if self.anchors is not None:
            with self.anchors.open("ab") as file:
                file.write(line + b"\n")
        return line.decode()

    def upkeep(self, now: datetime) -> list[str]:
        """Go on in a new file where the old one is gone, long or old enough; return what the operator should know.

        Raises: KeystoreError.
        """
        if self.file.moved:
            self.file.rotate(now)
            return [f"audit device {self.entry.path}: its file was moved or removed: a new one goes on"]
        if self.file.size_bytes >= self._rotate_bytes or self._is_old(now):
            self.rotate(now)
        return []

    def _is_old(self, now: datetime) -> bool:
        begun = self.file.begun
        return bool(self._rotate_s and begun and now - begun >= timedelta(seconds=self._rotate_s))

    def rotate(self, now: datetime) -> None:
        """Sign the head and begin a new file.

        Raises: KeystoreError.
        """
        self.anchor(now)
        self.file.rotate(now)

    def retire(self, now: datetime) -> list[str]:
        """Remove the files whose time of retention is over, where there is one; return their names.

        Raises: KeystoreError.
        """
        return self.file.retire(now, max(self._keep, timedelta(seconds=RETENTION_S))) if self._keep else []


def _sink(entry: Entry) -> AuditFile | AuditSyslog:
    options = entry.options
    if entry.type == "syslog":
        facility, tag = options.get("facility") or DEFAULT_FACILITY, options.get("tag") or DEFAULT_TAG
        return AuditSyslog(options.get("address") or DEFAULT_SOCKET, facility.upper(), tag)
    return AuditFile(Path(options["file_path"]), int(options.get("mode") or "0600", 8))


def _anchors(entry: Entry) -> Path | None:
    """Return where signed heads go besides; those of a syslog go there with its lines."""
    named = entry.options.get("anchor_path")
    if named or entry.type == "syslog":
        return Path(named) if named else None
    return Path(f"{entry.options['file_path']}.anchors")


class Auditing:
    """All devices of a store; with none, nothing is logged."""

    def __init__(self) -> None:
        self.devices: dict[str, Device] = {}
        self.failures: Counter[str] = Counter()
        self._taken: dict[str, list[bytes]] = {}
        self._synced = False

    def open(
        self, view: View, mac: Mac, profile_mac: str, now: datetime, tail: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        """Open the devices of the table, and put back what a loss of power took off the ends of their files.

        Raises: KeystoreError when none of several can be opened.
        """
        failures = []
        table = entries(view)
        for entry in table.values():
            try:
                lines = [line for path, line in tail if path == entry.path]
                self.devices[entry.path] = _opened(entry, view, mac, profile_mac, now, lines)
            except KeystoreError as error:
                failures.append(error)
        if failures and not self.devices:
            raise failures[0]

    def enable(self, view: View, entry: Entry, mac: Mac, profile_mac: str, now: datetime) -> None:
        """Open a new device and add it to the table.

        Raises: KeystoreError, RequestError.
        """
        secret = SM2.generate()
        made = replace(entry, public=SM2.signer(secret).public.pem())
        view.put(KEYS + entry.path, secret)
        device = _opened(made, view, mac, profile_mac, now)
        table = entries(view)
        view.put(TABLE, document.canonical({path: asdict(one) for path, one in {**table, entry.path: made}.items()}))
        self.devices[entry.path] = device

    def disable(self, view: View, path: str, now: datetime) -> None:
        """Close a device, after its head was signed, and take it off the table."""
        device = self.devices.pop(path, None)
        if device is not None:
            device.anchor(now)
            device.file.close()
        table = {name: asdict(one) for name, one in entries(view).items() if name != path}
        view.put(TABLE, document.canonical(table))
        view.delete(KEYS + path)
        view.delete(HEADS + path)

    def write(self, build: Callable[[Device], Mapping[str, Any]], now: datetime) -> None:
        """Write one event to every device, for each with its own hashes; one that succeeds is enough.

        Raises: RequestError of status 500 when there are devices and none could write.
        """
        written = not self.devices
        for path, device in self.devices.items():
            try:
                device.write(build(device), now)
                written = True
            except KeystoreError:
                self.failures[path] += 1
        if not written:
            raise RequestError(_REFUSED, status=500)

    def sync(self) -> None:
        """Bring every device's file to the disk; until then the store keeps the ends of them.

        Raises: KeystoreError.
        """
        for device in self.devices.values():
            device.file.sync()
        self._synced = True

    def tail(self) -> Tail | None:
        """Return the lines that were written since they were last taken, to be kept with the next changes."""
        if not self.devices:
            return None
        self._taken = {path: device.file.unsynced for path, device in self.devices.items()}
        for device in self.devices.values():
            device.file.unsynced = []
        lines = [(path, line) for path, taken in self._taken.items() for line in taken]
        anew, self._synced = self._synced, False
        return Tail(lines, anew)

    def tail_kept(self, kept: bool) -> None:
        """Take the lines back that could not be kept."""
        taken, self._taken = self._taken, {}
        for path, lines in taken.items():
            if not kept and path in self.devices:
                self.devices[path].file.unsynced[:0] = lines

    def anchor(self, now: datetime) -> list[str]:
        """Sign the heads of all files that grew; return the lines that say so."""
        return [line for device in self.devices.values() if (line := device.anchor(now))]

    def heads(self) -> dict[str, bytes]:
        """Return the records that keep where each log ends, so that one which was cut since is found at the unseal."""
        return {
            HEADS + path: document.canonical({"seq": device.file.head.count, "hash": device.file.head.hash})
            for path, device in self.devices.items()
        }

    def upkeep(self, now: datetime) -> list[str]:
        """Rotate what has to be; return what the operator should know.

        Raises: KeystoreError.
        """
        return [line for device in self.devices.values() for line in device.upkeep(now)]

    def retire(self, now: datetime) -> list[str]:
        """Remove the files whose time is over; return lines that say so.

        Raises: KeystoreError.
        """
        found = [(device.file.path, name) for device in self.devices.values() for name in device.retire(now)]
        return [f"removed after its time of retention: {path.with_name(name)}" for path, name in found]

    def reopen(self, now: datetime) -> None:
        """Begin a new file for every device, the old ones under the next number."""
        for device in self.devices.values():
            device.rotate(now)

    def sign(self, now: datetime) -> None:
        """Sign the heads of all files, the last time before they are closed."""
        for device in self.devices.values():
            device.anchor(now)

    def close(self) -> None:
        """Close the files."""
        for device in self.devices.values():
            device.file.close()
        self.devices = {}


def entries(view: View) -> dict[str, Entry]:
    """Return the table of devices."""
    data = view.get(TABLE)
    return {} if data is None else {path: Entry(**one) for path, one in document.parse(data, TABLE).items()}


def _opened(entry: Entry, view: View, mac: Mac, profile_mac: str, now: datetime, lines: Sequence[bytes] = ()) -> Device:
    secret = view.get(KEYS + entry.path)
    if secret is None:
        raise KeystoreError("expected the key of the audit device, got none", place=entry.path)
    device = Device(entry, SM2.signer(secret), mac, profile_mac)
    device.file.open(now, _kept(view, entry.path), lines)
    return device


def _kept(view: View, path: str) -> Head:
    """Return where the store remembers that a log ended."""
    data = view.get(HEADS + path)
    if data is None:
        return Head(count=0, hash=START)
    found = document.fields(document.parse(data, HEADS + path), HEADS + path, {"seq": int, "hash": str})
    return Head(count=found["seq"], hash=found["hash"])
