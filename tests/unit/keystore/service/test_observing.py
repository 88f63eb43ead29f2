"""sys/in-flight-req and sys/host-info."""

import asyncio
import json
import os
import socket
from datetime import datetime
from pathlib import Path

import pytest
from keystoreservice import Service

from keystore.service import hostinfo
from keystore.service.message import Inbound, Reply


def test_a_request_sees_itself(service: Service) -> None:
    status, found = service.ask("GET", "sys/in-flight-req")
    (flown,) = found.values()
    assert status == 200
    assert datetime.fromisoformat(flown.pop("start_time")).tzinfo is not None
    assert flown.pop("client_id") != ""
    assert flown == {
        "client_remote_address": "127.0.0.1",
        "request_path": "/v1/sys/in-flight-req",
        "request_method": "GET",
    }
    again = service.ask("GET", "sys/in-flight-req")[1]
    assert len(again) == 1
    assert again.keys() != found.keys()


def test_a_login_that_takes_long_is_seen_and_tokens_in_paths_are_not(service: Service) -> None:
    name = "hvs.looks-like-a-token-x"
    service.ask("PUT", "sys/auth/userpass", {"type": "userpass"})
    service.ask("POST", f"auth/userpass/users/{name}", {"password": "long-password"})
    slow = Inbound(
        method="POST", path=f"auth/userpass/login/{name}", body=b'{"password": "long-password"}', remote="::1"
    )
    asked = Inbound(method="GET", path="sys/in-flight-req", token=service.root, remote="127.0.0.1")
    replies: list[Reply] = []

    async def both() -> list[Reply]:
        logged_in = asyncio.get_running_loop().create_future()
        service.dispatcher.handle(slow, logged_in.set_result)
        service.dispatcher.handle(asked, replies.append)
        return [await logged_in]

    (login,) = service.loop.run_until_complete(both())
    assert login.status == 200
    flown = list(json.loads(replies[0].body).values())
    assert [(one["request_method"], one["request_path"], one["client_remote_address"]) for one in flown] == [
        ("POST", "/v1/auth/userpass/login/hvs.***", "::1"),
        ("GET", "/v1/sys/in-flight-req", "127.0.0.1"),
    ]
    assert len(list(service.core.traffic.flights())) == 0


def test_what_is_no_request_is_on_its_way_no_more(service: Service) -> None:
    assert service.ask("BREW", "sys/mounts")[0] == 405
    assert service.ask("GET", "sys/mounts/../x")[0] == 400
    assert len(list(service.core.traffic.flights())) == 0


def test_the_host_is_told(service: Service) -> None:
    status, answer = service.ask("GET", "sys/host-info")
    found = answer["data"]
    assert (status, answer["warnings"]) == (200, None)
    assert found["host"]["hostname"] == socket.gethostname()
    assert len(found["cpu"]) == os.cpu_count() == len(found["cpu_times"])
    assert found["cpu"][0]["cpu"] == 0
    assert {"user", "system", "idle"} <= found["cpu_times"][0].keys()
    assert found["memory"]["total"] == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < found["memory"]["available"] <= found["memory"]["total"]
    assert found["disk"][0]["path"] == "/"
    assert found["disk"][0]["total"] > found["disk"][0]["used"] > 0
    assert abs(datetime.now().timestamp() - found["host"]["uptime"] - found["host"]["bootTime"]) < 60
    assert datetime.fromisoformat(found["timestamp"]).tzinfo is not None
    assert service.root not in json.dumps(answer)


def test_what_the_kernel_does_not_tell_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 10 kB\n")
    (tmp_path / "uptime").write_text("soon\n")
    found, warnings = hostinfo.gather(tmp_path, tmp_path)
    assert [name for name, part in found.items() if part is None] == ["cpu", "cpu_times", "host", "memory"]
    assert warnings == [
        f"cpu: [Errno 2] No such file or directory: '{tmp_path}/cpuinfo'",
        f"cpu_times: [Errno 2] No such file or directory: '{tmp_path}/stat'",
        "host: could not convert string to float: 'soon'",
        "memory: expected MemTotal and MemAvailable, got less",
    ]


def test_other_processors_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nBogoMIPS\t: 200.00\n\nprocessor\t: 1\n\nHardware\t: X\n")
    assert hostinfo.processors(tmp_path) == [{"cpu": 0, "flags": []}, {"cpu": 1, "flags": []}]


@pytest.mark.parametrize("path", ["sys/in-flight-req", "sys/host-info"])
def test_who_may_not_ask_is_refused(service: Service, path: str) -> None:
    assert service.ask("GET", path, token="")[0] == 403
    assert service.ask("GET", path, token=service.token('path "a" { capabilities = ["read"] }'))[0] == 403
