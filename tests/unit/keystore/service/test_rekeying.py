"""A rekey whose new shares must be shown before they count."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from keystoreservice import Service, serviced

INIT, UPDATE, VERIFY = "sys/rekey/init", "sys/rekey/update", "sys/rekey/verify"


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Service]:
    """A store of 3 shares, of which 2 are needed."""
    with serviced(tmp_path, 3, 2) as found:
        yield found


def _made(held: Service) -> dict[str, Any]:
    """Carry a rekey as far as its new shares."""
    asked = {"secret_shares": 3, "secret_threshold": 2, "require_verification": True}
    nonce = held.ask("PUT", INIT, asked, "")[1]["nonce"]
    held.ask("PUT", UPDATE, {"key": held.shares[0], "nonce": nonce}, "")
    made: dict[str, Any] = held.ask("PUT", UPDATE, {"key": held.shares[1], "nonce": nonce}, "")[1]
    return made


def _show(held: Service, share: str, nonce: str) -> tuple[int, Any]:
    return held.ask("PUT", VERIFY, {"key": share, "nonce": nonce}, "")


def _opens(held: Service, shares: list[str]) -> bool:
    """Tell whether shares unseal the store, which is sealed for it."""
    held.core.close()
    answers = [held.ask("PUT", "sys/unseal", {"key": share}, "")[0] for share in shares]
    return answers == [200, 200] and held.core.unsealed is not None


def test_the_new_shares_count_once_enough_of_them_were_shown(held: Service) -> None:
    made = _made(held)
    assert (made["complete"], made["verification_required"], len(made["keys"])) == (True, True, 3)
    nonce = made["verification_nonce"]
    waiting = {"nonce": nonce, "started": True, "t": 2, "n": 3, "progress": 0}
    assert held.ask("GET", VERIFY, token="") == (200, waiting)
    assert held.ask("GET", INIT, token="")[1] == {
        "started": True,
        "nonce": made["nonce"],
        "t": 2,
        "n": 3,
        "progress": 0,
        "required": 2,
        "pgp_fingerprints": None,
        "backup": False,
        "verification_required": True,
        "verification_nonce": nonce,
    }
    assert _show(held, made["keys"][2], nonce) == (200, {**waiting, "progress": 1})
    assert _show(held, made["keys_base64"][0], nonce) == (200, {"nonce": nonce, "complete": True})
    assert held.ask("GET", INIT, token="")[1]["started"] is False
    assert not _opens(held, held.shares[:2])
    assert _opens(held, made["keys"][:2])


def test_until_then_a_seal_keeps_the_old_shares(held: Service) -> None:
    made = _made(held)
    _show(held, made["keys"][0], made["verification_nonce"])
    assert _opens(held, held.shares[1:])
    assert held.ask("GET", VERIFY, token="") == (400, {"errors": ["no rekey configuration found"]})
    assert _show(held, made["keys"][1], made["verification_nonce"]) == (400, {"errors": ["no rekey in progress"]})
    assert not _opens(held, made["keys"][:2])


def test_cancelling_the_rekey_keeps_the_old_shares(held: Service) -> None:
    _made(held)
    assert held.ask("DELETE", INIT, token="")[0] == 204
    assert _opens(held, held.shares[:2])


def test_cancelling_the_verification_alone_lets_it_begin_again(held: Service) -> None:
    made = _made(held)
    _show(held, made["keys"][0], made["verification_nonce"])
    status, again = held.ask("DELETE", VERIFY, token="")
    assert (status, again["progress"], again["started"]) == (200, 0, True)
    told = f'incorrect nonce supplied; nonce for this verify operation is "{again["nonce"]}"'
    assert _show(held, made["keys"][0], made["verification_nonce"]) == (400, {"errors": [told]})
    _show(held, made["keys"][0], again["nonce"])
    assert _show(held, made["keys"][1], again["nonce"])[1]["complete"] is True


def test_a_rotation_meanwhile_is_not_lost(held: Service) -> None:
    made = _made(held)
    assert held.ask("PUT", "sys/rotate")[0] == 204
    held.ask("PUT", "sys/policies/acl/kept", {"policy": 'path "a" { capabilities = ["read"] }'})
    for share in made["keys"][:2]:
        _show(held, share, made["verification_nonce"])
    assert _opens(held, made["keys"][1:])
    assert held.ask("GET", "sys/key-status")[1]["data"]["term"] == 2
    assert held.ask("GET", "sys/policies/acl/kept")[0] == 200


def test_other_shares_are_refused_and_the_tries_slow_down(held: Service) -> None:
    nonce = _made(held)["verification_nonce"]
    for _ in range(5):
        assert _show(held, held.shares[0], nonce)[0] == 200
        told = "given key has already been provided during this verify operation"
        assert _show(held, held.shares[0], nonce) == (400, {"errors": [told]})
        told = "rekey verification failed; incorrect key shares supplied"
        assert _show(held, held.shares[1], nonce) == (400, {"errors": [told]})
        status = held.ask("GET", VERIFY, token="")[1]
        assert status["progress"] == 0
        assert status["nonce"] != nonce
        nonce = status["nonce"]
    assert _show(held, held.shares[0], nonce) == (429, {"errors": ["too many failures: try again in 1 seconds"]})
    assert _opens(held, held.shares[:2])


def test_what_comes_at_the_wrong_time_is_told(held: Service) -> None:
    share = held.shares[0]
    for method in ("GET", "DELETE"):
        assert held.ask(method, VERIFY, token="") == (400, {"errors": ["no rekey configuration found"]})
    assert _show(held, share, "x") == (400, {"errors": ["no rekey in progress"]})
    assert _show(held, "?", "x") == (400, {"errors": ["'key' must be a valid hex or base64 string"]})
    told = "'key' must be specified in request body as JSON"
    assert held.ask("PUT", VERIFY, {"nonce": "x"}, "") == (400, {"errors": [told]})
    held.ask("PUT", INIT, {"secret_shares": 3, "secret_threshold": 2, "require_verification": True}, "")
    assert _show(held, share, "x") == (400, {"errors": ["no rekey verification in progress"]})
    assert held.ask("GET", VERIFY, token="")[1] == {"nonce": "", "started": False, "t": 2, "n": 3, "progress": 0}
    held.ask("DELETE", INIT, token="")
    made = _made(held)
    told = "rekey operation already finished; verification must be performed; nonce for the verification operation is"
    assert held.ask("PUT", UPDATE, {"key": share, "nonce": made["nonce"]}, "") == (
        400,
        {"errors": [f'{told} "{made["verification_nonce"]}"']},
    )
