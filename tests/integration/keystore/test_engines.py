"""Mounts: their times, their default keys, and that nobody waits for the making of a long key."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hvac
import pytest
from daemon import Daemon, served
from hvac.exceptions import Forbidden, InvalidPath, InvalidRequest


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("engines")
    with served(folder / "data") as found:
        client = found.unsealed()
        found.root = client.token
        found.log = folder / "audit.log"
        client.sys.enable_audit_device("file", path="a", options={"file_path": str(found.log)})
        client.sys.enable_secrets_engine("transit")
        client.sys.enable_secrets_engine("pki")
        yield found


def test_others_are_answered_while_a_long_key_is_made(daemon: Daemon, root: hvac.Client) -> None:
    made = threading.Event()

    def make() -> None:
        for number in range(3):
            daemon.client(daemon.root).secrets.transit.create_key(f"long{number}", key_type="rsa-4096")
        made.set()

    maker = threading.Thread(target=make)
    maker.start()
    answered = 0
    while not made.is_set():
        root.secrets.kv.v1.create_or_update_secret("beside", {"n": answered}, method="POST", mount_point="cubbyhole")
        answered += 1
    maker.join()
    # Three keys of this length take some seconds; with a loop that stood still there would be one answer between two.
    assert answered > 20
    assert root.secrets.transit.read_key("long2")["data"]["type"] == "rsa-4096"


def test_a_long_request_is_in_the_audit_once(daemon: Daemon, root: hvac.Client) -> None:
    root.secrets.transit.create_key("once", key_type="rsa-3072")
    events = [json.loads(line)["event"] for line in daemon.log.read_text().splitlines()]
    found = [one for one in events if one.get("request", {}).get("path") == "transit/keys/once"]
    assert [(one["kind"], one["request"]["operation"]) for one in found] == [
        ("request", "update"),
        ("response", "update"),
    ]


def test_a_token_of_one_use_makes_one_key(daemon: Daemon, root: hvac.Client) -> None:
    token = root.auth.token.create(num_uses=1, policies=["root"])["auth"]["client_token"]

    def make(name: str) -> bool:
        try:
            daemon.client(token).secrets.transit.create_key(name, key_type="rsa-2048")
        except Forbidden:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(make, [f"used{number}" for number in range(4)]))
    assert done.count(True) == 1
    names = root.secrets.transit.list_keys()["data"]["keys"]
    assert [name for name in names if name.startswith("used")] == [f"used{done.index(True)}"]


def test_what_was_taken_away_meanwhile_counts(daemon: Daemon, root: hvac.Client) -> None:
    """The token, and the mount, of a request that waits for its key behind others are gone when the key is there."""
    token = root.auth.token.create(policies=["root"])["auth"]["client_token"]
    root.sys.enable_secrets_engine("transit", "brief")

    def make(secret: str, mount: str, name: str) -> object:
        try:
            daemon.client(secret).secrets.transit.create_key(name, key_type="rsa-4096", mount_point=mount)
        except (Forbidden, InvalidPath) as error:
            return type(error)
        return None

    def waiting() -> int:
        text = daemon.log.read_text()
        return sum(text.count(f'"path":"{one}"') for one in ("brief/keys/first", "transit/keys/t", "brief/keys/m"))

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(make, daemon.root, "brief", "first")
        while waiting() < 1:
            time.sleep(0.002)
        rest = [pool.submit(make, token, "transit", "t"), pool.submit(make, daemon.root, "brief", "m")]
        while waiting() < 3:
            time.sleep(0.002)
        root.auth.token.revoke(token)
        root.sys.disable_secrets_engine("brief")
        assert [one.result() for one in rest] == [Forbidden, InvalidPath]
        assert first.result() in (None, InvalidPath)
    assert "t" not in root.secrets.transit.list_keys()["data"]["keys"]


def test_the_gm_profile_makes_gm_keys_and_a_mount_may_say_otherwise(root: hvac.Client) -> None:
    root.secrets.transit.create_key("default")
    assert root.secrets.transit.read_key("default")["data"]["type"] == "sm4-gcm"
    root.sys.enable_secrets_engine("transit", "aes", options={"default_key_type": "aes256-gcm96"})
    root.secrets.transit.create_key("default", mount_point="aes")
    assert root.secrets.transit.read_key("default", mount_point="aes")["data"]["type"] == "aes256-gcm96"
    with pytest.raises(InvalidRequest, match="unknown key type rot13"):
        root.sys.enable_secrets_engine("transit", "rot", options={"default_key_type": "rot13"})
    made = root.secrets.pki.generate_root("internal", "gm.test")["data"]
    assert root.adapter.get(f"/v1/pki/key/{made['key_id']}")["data"]["key_type"] == "sm2"
    root.secrets.pki.create_or_update_role("gm", {"allow_any_name": True})
    assert root.secrets.pki.read_role("gm")["data"]["key_type"] == "sm2"
    root.secrets.pki.create_or_update_role("long", {"allow_any_name": True, "key_bits": 3072})
    assert root.secrets.pki.read_role("long")["data"]["key_type"] == "rsa"


def test_the_standard_profile_makes_the_keys_of_vault(tmp_path: Path) -> None:
    with served(tmp_path / "data", "--profile", "standard") as daemon:
        client = daemon.unsealed()
        client.sys.enable_secrets_engine("transit")
        client.secrets.transit.create_key("default")
        assert client.secrets.transit.read_key("default")["data"]["type"] == "aes256-gcm96"


def _days(client: hvac.Client, **asked: str) -> tuple[float, list[str] | None]:
    made = client.secrets.pki.generate_root("internal", "x.test", {"key_type": "ec", **asked})
    return (made["data"]["expiration"] - time.time()) / 86_400, made["warnings"]


def test_certificates_live_as_long_as_the_mount_is_tuned_to(root: hvac.Client) -> None:
    root.sys.enable_secrets_engine("pki", "tuned")
    client = hvac.Client(url=root.url, token=root.token)
    client.secrets.pki.generate_root = lambda kind, name, extra: root.secrets.pki.generate_root(  # type: ignore[method-assign]
        kind, name, extra, mount_point="tuned"
    )
    days, warnings = _days(client, ttl="87600h")
    assert (31.9 < days <= 32, warnings) == (
        True,
        ['TTL "315360000s" is longer than permitted maxTTL "2764800s", so maxTTL is being used'],
    )
    root.sys.tune_mount_configuration("tuned", default_lease_ttl="48h", max_lease_ttl="87600h")
    days, warnings = _days(client)
    assert (1.9 < days <= 2, warnings) == (True, None)
    days, warnings = _days(client, ttl="87600h")
    assert (3649 < days <= 3650, warnings) == (True, None)


def test_tokens_live_as_long_as_the_mount_is_tuned_to(daemon: Daemon, root: hvac.Client) -> None:
    root.sys.enable_auth_method("userpass", path="tuned", config={"default_lease_ttl": "10m", "max_lease_ttl": "20m"})
    users = root.auth.userpass
    users.create_or_update_user("a", "long-password", mount_point="tuned")
    users.create_or_update_user("b", "long-password", mount_point="tuned", token_ttl="2h", token_max_ttl="3h")
    users.create_or_update_user("c", "long-password", mount_point="tuned", token_period="5h")

    def log_in(name: str) -> tuple[hvac.Client, dict]:
        client = daemon.client()
        return client, client.auth.userpass.login(name, "long-password", mount_point="tuned")

    client, login = log_in("a")
    assert (login["auth"]["lease_duration"], login["warnings"]) == (600, None)
    assert client.auth.token.renew_self(increment="5h")["auth"]["lease_duration"] in range(1195, 1201)
    _, login = log_in("b")
    assert login["auth"]["lease_duration"] == 1200
    assert login["warnings"] == [
        "TTL of 7200s exceeded the effective max_ttl of 1200s; TTL value is capped accordingly"
    ]
    _, login = log_in("c")
    assert login["auth"]["lease_duration"] == 1200
    root.sys.tune_auth_method("tuned", max_lease_ttl="15m")
    assert client.auth.token.renew_self(increment="5h")["auth"]["lease_duration"] in range(890, 901)
    made = root.auth.token.create(policies=["default"], ttl="9000h")
    assert made["auth"]["lease_duration"] == 768 * 3600
    root.sys.tune_auth_method("token", max_lease_ttl="9000h", default_lease_ttl="1h")
    assert root.auth.token.create(policies=["default"], ttl="9000h")["auth"]["lease_duration"] == 9000 * 3600
    assert root.auth.token.create(policies=["default"])["auth"]["lease_duration"] == 3600
    root.sys.tune_auth_method("token", max_lease_ttl="system", default_lease_ttl="system")


def test_leases_live_as_long_as_the_mount_is_tuned_to(root: hvac.Client) -> None:
    config = {"default_lease_ttl": "1h", "max_lease_ttl": "2h"}
    root.sys.enable_secrets_engine("pki", "leased", config=config)
    root.secrets.pki.generate_root("internal", "x.test", {"key_type": "ec"}, mount_point="leased")
    role = {"allow_any_name": True, "generate_lease": True, "key_type": "ec"}
    root.secrets.pki.create_or_update_role("r", role, mount_point="leased")
    issued = root.secrets.pki.generate_certificate("r", "a.test", {"ttl": "50m"}, mount_point="leased")
    assert issued["lease_id"].startswith("leased/issue/r/")
    assert issued["lease_duration"] in range(2990, 3001)
    root.sys.enable_secrets_engine("kv", "timed", config=config)
    root.secrets.kv.v1.create_or_update_secret("x", {"a": "1"}, mount_point="timed")
    assert root.secrets.kv.v1.read_secret("x", mount_point="timed")["lease_duration"] == 3600
    with pytest.raises(
        InvalidRequest, match="backend max lease TTL of 1800 would be less than backend default of 3600"
    ):
        root.sys.tune_mount_configuration("timed", max_lease_ttl="30m")
