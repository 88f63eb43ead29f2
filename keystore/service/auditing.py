"""The audit of the service: each request before it is carried out, each response before it leaves; secrets as HMACs."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from keystore import document
from keystore.algorithm import SM2
from keystore.barrier.overlay import View
from keystore.barrier.store import Tail
from keystore.engines.request import RequestError
from keystore.errors import KeystoreError
from keystore.service.auditfile import AuditFile
from keystore.signer import Signer

TABLE = "core/audit"
KEYS = "core/audit-key/"
_CALLERS_KEPT = 256
_REFUSED = "cannot write the audit log: the request is refused"
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
    """One open device: its file, the key that HMACs secrets, and the key that signs its head."""

    def __init__(self, entry: Entry, signer: Signer, mac: Mac, profile_mac: str) -> None:
        self.entry = entry
        self.file = AuditFile(Path(entry.options["file_path"]), int(entry.options.get("mode") or "0600", 8))
        self._signer = signer
        self._mac = mac
        self._mac_name = profile_mac
        self._raw = entry.options.get("log_raw") == "true"
        self._anchored = ""
        self._purpose = f"audit/{entry.path}"
        self._hashes: dict[str, str] = {}
        self.anchors = Path(entry.options.get("anchor_path") or f"{entry.options['file_path']}.anchors")

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
        with self.anchors.open("ab") as file:
            file.write(line + b"\n")
        return line.decode()


class Auditing:
    """All devices of a store; with none, nothing is logged."""

    def __init__(self) -> None:
        self.devices: dict[str, Device] = {}
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
                device = _opened(entry, view, mac, profile_mac, now)
                device.file.restore([line for path, line in tail if path == entry.path])
                self.devices[entry.path] = device
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

    def write(self, build: Callable[[Device], Mapping[str, Any]], now: datetime) -> None:
        """Write one event to every device, for each with its own hashes; one that succeeds is enough.

        Raises: RequestError of status 500 when there are devices and none could write.
        """
        written = not self.devices
        for device in self.devices.values():
            try:
                device.write(build(device), now)
                written = True
            except KeystoreError:
                continue
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

    def reopen(self, now: datetime) -> None:
        """Begin a new file for every device, the old ones under the name of this moment."""
        for device in self.devices.values():
            device.anchor(now)
            old = device.file.rotate(now)
            if old is not None and device.anchors.exists():
                device.anchors.rename(device.anchors.with_name(f"{old.name}.anchors"))

    def close(self, now: datetime) -> None:
        """Sign the heads and close the files."""
        for device in self.devices.values():
            device.anchor(now)
            device.file.close()
        self.devices = {}


def entries(view: View) -> dict[str, Entry]:
    """Return the table of devices."""
    data = view.get(TABLE)
    return {} if data is None else {path: Entry(**one) for path, one in document.parse(data, TABLE).items()}


def _opened(entry: Entry, view: View, mac: Mac, profile_mac: str, now: datetime) -> Device:
    secret = view.get(KEYS + entry.path)
    if secret is None:
        raise KeystoreError("expected the key of the audit device, got none", place=entry.path)
    device = Device(entry, SM2.signer(secret), mac, profile_mac)
    device.file.open(now)
    return device
