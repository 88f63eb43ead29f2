"""sys/rotate/config: the key that seals is changed by itself, after a time or so many uses."""

import pytest
from keystoreservice import Service

from keystore.service.upkeep import keep_key

CONFIG = "sys/rotate/config"
DAY_S = 24 * 3600


def _term(service: Service) -> tuple[int, int]:
    found = service.ask("GET", "sys/key-status")[1]["data"]
    return found["term"], found["encryptions"]


def _told(service: Service) -> list[str]:
    """Return what the service says while it looks at its key."""
    service.lines.clear()
    keep_key(service.core)
    return service.lines


def _use(service: Service, times: int) -> None:
    """Let the active key have been used so many times more."""
    service.core.open.store.keyring.active.written += times


def test_what_is_not_named_stays_as_it_was(service: Service) -> None:
    usual = {"enabled": True, "interval": 0, "max_operations": 3865470566}
    assert service.ask("GET", CONFIG)[1]["data"] == usual
    assert service.ask("POST", CONFIG, {"max_operations": 2_000_000, "interval": "24h"})[0] == 204
    assert service.ask("POST", CONFIG, {"enabled": False})[0] == 204
    found = {"enabled": False, "interval": "24h0m0s", "max_operations": 2_000_000}
    assert service.ask("GET", CONFIG)[1]["data"] == found
    assert service.ask("POST", CONFIG, {"interval": 0, "enabled": True})[0] == 204
    assert service.ask("GET", CONFIG)[1]["data"] == {**found, "enabled": True, "interval": 0}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"max_operations": 999_999}, "max_operations must be in the range [1000000,3865470566]"),
        ({"max_operations": 3_865_470_567}, "max_operations must be in the range [1000000,3865470566]"),
        ({"interval": "23h59m59s"}, "interval must be greater or equal to 24h0m0s"),
        ({"interval": "soon"}, "interval: expected a duration such as 3600 or '1h30m', got 'soon'"),
        ({"enabled": "perhaps"}, "enabled: expected true or false, got a string"),
    ],
)
def test_what_makes_no_sense_is_refused(service: Service, asked: dict[str, object], told: str) -> None:
    assert service.ask("POST", CONFIG, asked) == (400, {"errors": [told]})


def test_a_key_that_is_old_enough_goes(service: Service) -> None:
    service.ask("PUT", "sys/policies/acl/before", {"policy": 'path "a" { capabilities = ["read"] }'})
    service.ask("POST", CONFIG, {"interval": "24h"})
    service.ahead_s = DAY_S - 60
    assert _told(service) == []
    service.ahead_s = DAY_S + 1
    uses = service.core.open.store.keyring.active.written
    assert _told(service) == [f"the key of the store was rotated: term 2, after {uses} uses of the one before"]
    assert _term(service)[0] == 2
    assert _told(service) == []
    service.core.close()
    service.ask("PUT", "sys/unseal", {"key": service.shares[0]})
    assert service.ask("GET", "sys/policies/acl/before")[0] == 200


def test_a_key_that_was_used_often_enough_goes_unless_that_is_off(service: Service) -> None:
    service.ask("POST", CONFIG, {"max_operations": 1_000_000, "enabled": False})
    _use(service, 1_000_000)
    assert _told(service) == []
    service.ask("POST", CONFIG, {"enabled": True})
    (told,) = _told(service)
    assert told.startswith("the key of the store was rotated: term 2, after 1000")
    term, uses = _term(service)
    assert term == 2
    assert uses < 10


def test_how_often_a_key_was_used_outlives_a_seal(service: Service) -> None:
    _use(service, 5000)
    before = _term(service)[1]
    assert before >= 5000
    service.core.close()
    service.ask("PUT", "sys/unseal", {"key": service.shares[0]})
    assert before <= _term(service)[1] <= before + 2
    service.ask("PUT", "sys/rotate")
    service.core.close()
    service.ask("PUT", "sys/unseal", {"key": service.shares[0]})
    assert _term(service)[1] < 10


def test_a_disk_that_takes_nothing_is_told(service: Service) -> None:
    service.ask("POST", CONFIG, {"interval": "24h"})
    service.ahead_s = DAY_S + 1
    service.core.database.close()
    (told,) = _told(service)
    assert told.startswith("error: the key of the store: ")
    service.core.unsealed = None
