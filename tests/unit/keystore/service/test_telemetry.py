"""sys/metrics, as JSON and as the text that Prometheus reads."""

import math
import shutil
import socket
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from keystoreservice import Service

from keystore.service.metric import GAUGE, SUMMARY, Metric, Summary, json_of, one, text_of

PROMETHEUS = "sys/metrics?format=prometheus"


def _value(service: Service, name: str) -> float:
    lines = service.reply("GET", PROMETHEUS).body.decode().splitlines()
    return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))


def test_prometheus_can_read_it(service: Service, tmp_path: Path) -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is absent")
    service.ask("PUT", "sys/audit/file", {"type": "file", "options": {"file_path": str(tmp_path / "log")}})
    service.ask("PUT", "sys/auth/userpass", {"type": "userpass"})
    service.ask("POST", "auth/userpass/users/a", {"password": "long-password"})
    service.ask("POST", "auth/userpass/login/a", {"password": "long-password"})
    reply = service.reply("GET", PROMETHEUS)
    assert (reply.status, reply.media_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    done = subprocess.run([program, "check", "metrics"], input=reply.body, capture_output=True, timeout=30)
    # Some of Vault's own names are not as promtool advises; there is nothing else to find.
    counters = (
        "vault_audit_log_request_failure",
        "vault_audit_log_response_failure",
        "vault_barrier_estimated_encryptions",
        "vault_core_response_status_code",
        "vault_token_creation",
    )
    advice = dict.fromkeys(counters, 'counter metrics should have "_total" suffix')
    advice["vault_token_count"] = 'non-histogram and non-summary metrics should not have "_count" suffix'
    assert set(done.stderr.decode().splitlines()) == {f"{name} {text}" for name, text in advice.items()}


def test_what_happens_is_counted(service: Service) -> None:
    before = _value(service, "vault_core_handle_request_count")
    service.ask("GET", "sys/policies/acl/default")
    service.ask("POST", "auth/token/create", {"type": "batch", "policies": ["default"], "ttl": "1h"})
    service.ask("GET", "nowhere", token="wrong")
    text = service.reply("GET", PROMETHEUS).body.decode().splitlines()
    assert f"vault_core_handle_request_count {int(before) + 4}" in text
    assert 'vault_token_creation{mount_point="auth/token",token_type="batch"} 1' in text
    assert 'vault_core_response_status_code{code="403",type="4xx"} 1' in text
    assert "vault_core_unsealed 1" in text
    assert "vault_core_in_flight_requests 1" in text
    assert "vault_token_count 1" in text
    assert "vault_expire_num_leases 0" in text
    assert 'vault_core_mount_table_num_entries{type="auth"} 1' in text
    sizes = [one.stat().st_size for one in service.core.directory.glob("store.db*") if one.name != "store.db-shm"]
    assert f"ferry_store_size_bytes {sum(sizes)}" in text
    assert f"ferry_store_generation {service.core.open.store.generation}" in text


def test_a_token_that_was_refused_is_not_counted(service: Service) -> None:
    assert service.ask("POST", "auth/token/create", {"id": service.root, "policies": ["default"]})[0] == 400
    assert "vault_token_creation{" not in service.reply("GET", PROMETHEUS).body.decode()


def test_an_audit_that_cannot_write_is_counted(service: Service, tmp_path: Path) -> None:
    place = tmp_path / "log.socket"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(place))
        made = service.ask("PUT", "sys/audit/far", {"type": "syslog", "options": {"address": str(place)}})
        assert made[0] == 204
    place.unlink()
    assert service.ask("GET", "sys/policies/acl/default")[0] == 500
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(place))
        text = service.reply("GET", PROMETHEUS).body.decode().splitlines()
    assert "vault_audit_log_request_failure 1" in text
    assert "vault_audit_log_response_failure 0" in text
    assert 'ferry_audit_device_failures_total{device="far/"} 1' in text


def test_json_has_the_form_of_vault(service: Service) -> None:
    status, found = service.ask("GET", "sys/metrics")
    assert status == 200
    assert set(found) == {"Timestamp", "Gauges", "Points", "Counters", "Samples"}
    datetime.strptime(found["Timestamp"], "%Y-%m-%d %H:%M:%S +0000 UTC")
    assert {"Name": "vault.core.unsealed", "Value": 1.0, "Labels": {}} in found["Gauges"]
    fields = {"Name", "Count", "Rate", "Sum", "Min", "Max", "Mean", "Stddev", "Labels"}
    for part in ("Counters", "Samples"):
        assert {frozenset(one) for one in found[part]} == {frozenset(fields)}
    requests = next(one for one in found["Samples"] if one["Name"] == "vault.core.handle_request")
    assert requests["Min"] <= requests["Mean"] <= requests["Max"] <= requests["Sum"]


def test_who_may_not_ask_is_refused(service: Service) -> None:
    assert service.ask("GET", "sys/metrics", token="")[0] == 403
    assert service.ask("GET", "sys/metrics", token=service.token('path "a" { capabilities = ["read"] }'))[0] == 403
    assert (
        service.ask("GET", "sys/metrics", token=service.token('path "sys/metrics" { capabilities = ["read"] }'))[0]
        == 200
    )
    reply = service.reply("GET", "sys/metrics?format=xml")
    assert (reply.status, reply.body) == (400, b'metric response format "xml" unknown')
    service.core.close()
    assert service.ask("GET", "sys/metrics") == (503, {"errors": ["Vault is sealed"]})


def test_quantiles_deviation_and_labels_are_written_as_they_should_be() -> None:
    many = Summary()
    for value in range(1, 101):
        many.observe(float(value))
    named = Metric(name="a.b", kind=GAUGE, text="A.", labels=("x",), values={('q"\\\n',): 0.5})
    assert text_of([named, one("c", SUMMARY, "C.", many), one("d", SUMMARY, "D.", Summary())]).splitlines() == [
        "# HELP a_b A.",
        "# TYPE a_b gauge",
        'a_b{x="q\\"\\\\\\n"} 0.5',
        "# HELP c C.",
        "# TYPE c summary",
        'c{quantile="0.5"} 50',
        'c{quantile="0.9"} 90',
        'c{quantile="0.99"} 99',
        "c_sum 5050",
        "c_count 100",
        "# HELP d D.",
        "# TYPE d summary",
        'd{quantile="0.5"} NaN',
        'd{quantile="0.9"} NaN',
        'd{quantile="0.99"} NaN',
        "d_sum 0",
        "d_count 0",
    ]
    (told,) = json_of([one("c", SUMMARY, "C.", many)], datetime(2026, 1, 2, tzinfo=UTC), 50.0)["Samples"]
    assert (told["Rate"], told["Min"], told["Max"], told["Mean"]) == (101.0, 1.0, 100.0, 50.5)
    assert math.isclose(told["Stddev"], 29.011491975882016)
