"""sys/loggers: how much the service writes into its own log."""

import pytest
from keystoreservice import Service

from keystore.service.log import AUDIT, CORE, EXPIRATION
from keystore.service.upkeep import keep_key

LOGGERS = "sys/loggers"
USUAL = {AUDIT: "info", CORE: "info", EXPIRATION: "info"}


def test_levels_are_told_changed_and_reverted(service: Service) -> None:
    assert service.ask("GET", LOGGERS)[1]["data"] == USUAL
    assert service.ask("POST", f"{LOGGERS}/core", {"level": "debug"})[0] == 204
    assert service.ask("GET", LOGGERS)[1]["data"] == {**USUAL, CORE: "debug"}
    assert service.ask("GET", f"{LOGGERS}/core")[1]["data"] == {CORE: "debug"}
    assert service.ask("GET", f"{LOGGERS}/nothing")[1]["data"] == {}
    assert service.ask("PUT", LOGGERS, {"level": "WARNING"})[0] == 204
    assert set(service.ask("GET", LOGGERS)[1]["data"].values()) == {"warn"}
    assert service.ask("DELETE", f"{LOGGERS}/audit")[0] == 204
    assert service.ask("GET", LOGGERS)[1]["data"] == {**dict.fromkeys(USUAL, "warn"), AUDIT: "info"}
    assert service.ask("DELETE", LOGGERS)[0] == 204
    assert service.ask("GET", LOGGERS)[1]["data"] == USUAL


@pytest.mark.parametrize(
    ("path", "asked", "told"),
    [
        (LOGGERS, {}, "level is required"),
        (LOGGERS, {"level": "loud"}, "invalid level provided: unknown log level: loud"),
        (f"{LOGGERS}/core", {"level": ["info"]}, "level: expected a string, got a list"),
        (f"{LOGGERS}/nothing", {"level": "info"}, 'logger "nothing" not found'),
    ],
)
def test_what_is_no_level_or_no_logger_is_refused(
    service: Service, path: str, asked: dict[str, object], told: str
) -> None:
    assert service.ask("POST", path, asked) == (400, {"errors": [told]})


def test_requests_are_in_the_log_at_the_level_debug_alone(service: Service) -> None:
    service.ask("GET", "sys/mounts")
    assert service.lines == []
    service.ask("POST", LOGGERS, {"level": "debug"})
    service.lines.clear()
    service.ask("GET", "cubbyhole/hvs.looks-like-a-token-x\n/y")
    (line,) = service.lines
    assert line.startswith("debug: GET '/v1/cubbyhole/hvs.***\\n/y' 400 ")
    assert line.endswith(" ms")
    service.ask("DELETE", LOGGERS)
    service.lines.clear()
    service.ask("GET", "sys/mounts")
    assert service.lines == []


def test_a_level_hides_what_is_below_it_and_never_an_error(service: Service) -> None:
    service.ask("POST", "sys/rotate/config", {"interval": "24h"})
    service.ask("POST", f"{LOGGERS}/core", {"level": "error"})
    service.ahead_s = 25 * 3600
    keep_key(service.core)
    assert (service.lines, service.core.open.store.keyring.active.number) == ([], 2)
    service.core.log.error(CORE, "x")
    assert service.lines == ["error: x"]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_who_may_not_ask_is_refused(service: Service, method: str) -> None:
    assert service.ask(method, LOGGERS, token=service.token('path "a" { capabilities = ["read"] }'))[0] == 403
