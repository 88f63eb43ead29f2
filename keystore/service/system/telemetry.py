"""sys/metrics: what the service tells a monitoring of itself, under Vault's names where Vault has one."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from keystore.access.token import BY_ID as TOKENS
from keystore.engines.request import Raw
from keystore.service import leases, mounts
from keystore.service.call import Call
from keystore.service.core import Core
from keystore.service.message import Response
from keystore.service.metric import COUNTER, GAUGE, SUMMARY, TEXT, Metric, json_of, many, one, text_of

_STATM = Path("/proc/self/statm")


def metrics(call: Call, _rest: str) -> Response:
    """Tell the numbers of the service, as JSON unless asked for Prometheus text."""
    form = str(call.data.get("format", ""))
    if form not in ("", "prometheus"):
        return Response(status=400, raw=Raw(body=f'metric response format "{form}" unknown'.encode(), media_type=TEXT))
    found = [*_requests(call.core), *_rights(call), *_audit(call.core), *_store(call.core)]
    if form:
        return Response(raw=Raw(body=text_of(found).encode(), media_type=TEXT))
    return Response(plain=json_of(found, call.moment, time.monotonic() - call.core.traffic.since))


def _requests(core: Core) -> Sequence[Metric]:
    traffic = core.traffic
    codes = {(str(code), f"{code // 100}xx"): count for code, count in traffic.statuses.items()}
    return (
        one("vault.core.unsealed", GAUGE, "Whether the store is unsealed.", float(core.unsealed is not None)),
        one("vault.core.handle_request", SUMMARY, "Requests but logins, in milliseconds.", traffic.requests),
        one("vault.core.handle_login_request", SUMMARY, "Logins, in milliseconds.", traffic.logins),
        one("vault.core.in_flight_requests", GAUGE, "Requests on their way.", float(len(list(traffic.flights())))),
        many("vault.core.response_status_code", COUNTER, "Answers by their status.", ("code", "type"), codes),
    )


def _rights(call: Call) -> Sequence[Metric]:
    store = call.core.open.store
    tables = (("logical", mounts.SECRET), ("auth", mounts.AUTH))
    entries = {label: len(mounts.read(call.view, table)) for label, table in tables}
    made = call.core.traffic.tokens
    return (
        one("vault.expire.num_leases", GAUGE, "Leases that are kept.", float(store.count(leases.BY_ID))),
        one("vault.token.count", GAUGE, "Service tokens that are kept.", float(store.count(TOKENS))),
        many("vault.token.creation", COUNTER, "Tokens that were made.", ("mount_point", "token_type"), made),
        many("vault.core.mount_table.num_entries", GAUGE, "Mounts by their table.", ("type",), entries),
    )


def _audit(core: Core) -> Sequence[Metric]:
    traffic = core.traffic
    found: list[Metric] = []
    for kind, durations in traffic.audited.items():
        failures = float(traffic.unaudited[kind])
        found += (
            one(f"vault.audit.log_{kind}", SUMMARY, f"Writing a {kind} to the audit, in milliseconds.", durations),
            one(f"vault.audit.log_{kind}_failure", COUNTER, f"Failures to write a {kind} to any device.", failures),
        )
    text = "Lines that one audit device could not write."
    return (*found, many("ferry.audit.device_failures_total", COUNTER, text, ("device",), core.auditing.failures))


def _store(core: Core) -> Sequence[Metric]:
    store = core.open.store
    term = store.keyring.active
    sealed = {str(term.number): term.written}
    resident = int(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return (
        many("vault.barrier.estimated_encryptions", COUNTER, "Records the active key sealed.", ("term",), sealed),
        one("ferry.store.size_bytes", GAUGE, "The store on the disk, its log included.", float(core.database.size())),
        one("ferry.store.records", GAUGE, "Records in the store.", float(store.count(""))),
        one("ferry.store.generation", GAUGE, "Groups of changes that were committed.", float(store.generation)),
        one("process.resident_memory_bytes", GAUGE, "Memory of the service.", float(resident)),
    )
