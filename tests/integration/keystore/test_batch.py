"""Batch tokens: nothing of them is kept, and what needs something kept is refused."""

import hvac
import pytest
from daemon import Daemon
from hvac.exceptions import Forbidden, InvalidRequest

POLICY = """
path "cubbyhole/*" { capabilities = ["create", "read"] }
path "auth/token/*" { capabilities = ["update", "sudo"] }
"""


@pytest.fixture(scope="module", autouse=True)
def _policy(daemon: Daemon) -> None:
    daemon.client(daemon.root).sys.create_or_update_policy("batched", POLICY)


def _batch(root: hvac.Client, **asked: object) -> dict:
    return root.auth.token.create(type="batch", policies=["batched"], **asked)["auth"]


def test_a_batch_token_carries_itself(daemon: Daemon, root: hvac.Client) -> None:
    accessors = root.auth.token.list_accessors()["data"]["keys"]
    auth = _batch(root, ttl="1h", meta={"team": "ops"})
    assert auth["client_token"].startswith("hvb.")
    assert (auth["token_type"], auth["accessor"], auth["renewable"], auth["lease_duration"]) == (
        "batch",
        "",
        False,
        3600,
    )
    client = daemon.client(auth["client_token"])
    found = client.auth.token.lookup_self()["data"]
    assert (found["type"], found["accessor"], found["policies"], found["meta"], found["num_uses"]) == (
        "batch",
        "",
        ["batched", "default"],
        {"team": "ops"},
        0,
    )
    assert root.auth.token.lookup(auth["client_token"])["data"]["type"] == "batch"
    assert root.auth.token.list_accessors()["data"]["keys"] == accessors


def test_what_needs_something_kept_is_refused(daemon: Daemon, root: hvac.Client) -> None:
    client = daemon.client(_batch(root)["client_token"])
    for act, told in (
        (lambda: client.auth.token.create(), "batch tokens cannot create more tokens"),
        (lambda: client.auth.token.renew_self(), "batch tokens cannot be renewed"),
        (lambda: root.auth.token.renew(client.token), "batch tokens cannot be renewed"),
        (lambda: client.auth.token.revoke_self(), "batch tokens cannot be revoked"),
        (lambda: root.auth.token.revoke(client.token), "batch tokens cannot be revoked"),
        (lambda: client.read("cubbyhole/x"), 'cubbyhole operations are only supported by "service" type tokens'),
        (lambda: _batch(root, num_uses=1), 'batch tokens cannot have "num_uses" set'),
        (lambda: _batch(root, period="1h"), 'batch tokens cannot have "period" set'),
        (lambda: _batch(root, explicit_max_ttl="1h"), 'batch tokens cannot have "explicit_max_ttl" set'),
        (lambda: _batch(root, id="my-own-token"), "batch tokens cannot have a custom ID"),
        (lambda: root.auth.token.create(type="batch"), "batch tokens cannot be root tokens"),
        (lambda: root.auth.token.create(type="new"), "invalid 'token_type' value: 'new'"),
    ):
        with pytest.raises(InvalidRequest, match=told):
            act()


def test_a_batch_token_ends_with_its_parent_unless_it_is_an_orphan(daemon: Daemon, root: hvac.Client) -> None:
    parent = daemon.client(root.auth.token.create(policies=["batched"])["auth"]["client_token"])
    child = daemon.client(parent.auth.token.create(type="batch")["auth"]["client_token"])
    orphan = daemon.client(parent.auth.token.create(type="batch", no_parent=True)["auth"]["client_token"])
    assert (child.is_authenticated(), orphan.is_authenticated()) == (True, True)
    parent.auth.token.revoke_self()
    assert (child.is_authenticated(), orphan.is_authenticated()) == (False, True)


def test_a_batch_token_of_another_form_is_none(daemon: Daemon, root: hvac.Client) -> None:
    token = _batch(root)["client_token"]
    middle = len(token) // 2
    for other in (
        token[:-2],
        token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :],
        "hvb.",
        "hvb.\xe4",
    ):
        with pytest.raises(Forbidden):
            daemon.client(other).auth.token.lookup_self()


def test_a_batch_token_survives_a_rotation(daemon: Daemon, root: hvac.Client) -> None:
    client = daemon.client(_batch(root)["client_token"])
    root.sys.rotate_encryption_key()
    assert client.is_authenticated()


def test_roles_and_mounts_say_which_kind_a_login_gives(daemon: Daemon, root: hvac.Client) -> None:
    root.sys.enable_auth_method("approle", path="batch")
    approle = root.auth.approle

    def kind(role: str, mount: str) -> str:
        approle.create_or_update_approle("r", token_type=role, bind_secret_id=True, mount_point="batch")
        root.sys.tune_auth_method("batch", token_type=mount)
        ident = approle.read_role_id("r", mount_point="batch")["data"]["role_id"]
        secret = approle.generate_secret_id("r", mount_point="batch")["data"]["secret_id"]
        return daemon.client().auth.approle.login(ident, secret, mount_point="batch")["auth"]["token_type"]

    assert [
        kind(role, mount)
        for role, mount in (
            ("default", "default-service"),
            ("default", "default-batch"),
            ("batch", "default-service"),
            ("service", "default-batch"),
            ("service", "batch"),
            ("batch", "service"),
        )
    ] == ["service", "batch", "batch", "service", "batch", "service"]
    with pytest.raises(
        InvalidRequest, match="'token_type' cannot be 'batch' or 'default_batch' when set to generate periodic"
    ):
        approle.create_or_update_approle("p", token_type="batch", token_period="1h", mount_point="batch")
    with pytest.raises(InvalidRequest, match="invalid value for 'token_type': 'x'"):
        root.sys.tune_auth_method("batch", token_type="x")


def test_what_was_lent_to_a_batch_token_goes_back_with_its_parent(daemon: Daemon, root: hvac.Client) -> None:
    root.sys.enable_secrets_engine("pki", "batched")
    root.secrets.pki.generate_root("internal", "x.test", {"key_type": "ec"}, mount_point="batched")
    role = {"allow_any_name": True, "generate_lease": True, "key_type": "ec", "ttl": "1h"}
    root.secrets.pki.create_or_update_role("r", role, mount_point="batched")
    root.sys.create_or_update_policy("issue", 'path "batched/*" { capabilities = ["update"] }\n' + POLICY)
    parent = daemon.client(root.auth.token.create(policies=["issue"])["auth"]["client_token"])
    child = daemon.client(parent.auth.token.create(type="batch", ttl="5m")["auth"]["client_token"])
    issued = child.secrets.pki.generate_certificate("r", "a.test", mount_point="batched")
    assert issued["lease_duration"] <= 300
    serial = issued["data"]["serial_number"]
    assert root.secrets.pki.read_certificate(serial, mount_point="batched")["data"]["revocation_time"] == 0
    parent.auth.token.revoke_self()
    assert root.secrets.pki.read_certificate(serial, mount_point="batched")["data"]["revocation_time"] > 0
