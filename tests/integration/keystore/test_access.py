"""Tokens, policies, logins, leases and wrapping, asked by hvac."""

import time
from typing import Any

import hvac
import pytest
from daemon import Daemon
from hvac.exceptions import Forbidden, InvalidPath, InvalidRequest


def _as(daemon: Daemon, auth: dict[str, Any]) -> hvac.Client:
    return daemon.client(auth["auth"]["client_token"])


def test_a_token_is_looked_up_renewed_and_revoked(daemon: Daemon, root: hvac.Client) -> None:
    made = root.auth.token.create(policies=["default"], ttl="1h", meta={"team": "ops"}, display_name="ci")
    auth = made["auth"]
    assert (auth["policies"], auth["lease_duration"], auth["renewable"]) == (["default"], 3600, True)
    client = _as(daemon, made)
    found = client.auth.token.lookup_self()["data"]
    assert (found["display_name"], found["meta"], found["orphan"], found["path"]) == (
        "token-ci",
        {"team": "ops"},
        False,
        "auth/token/create",
    )
    assert found["id"] == client.token
    assert root.auth.token.lookup_accessor(auth["accessor"])["data"]["id"] == ""
    assert client.auth.token.renew_self(increment="2h")["auth"]["lease_duration"] == 7200
    assert auth["accessor"] in root.auth.token.list_accessors()["data"]["keys"]
    root.auth.token.revoke_accessor(auth["accessor"])
    with pytest.raises(Forbidden, match="permission denied"):
        client.auth.token.lookup_self()


def test_children_end_with_their_parent_unless_they_are_orphans(daemon: Daemon, root: hvac.Client) -> None:
    root.sys.create_or_update_policy("parents", 'path "auth/token/*" { capabilities = ["update", "sudo"] }')
    parent = _as(daemon, root.auth.token.create(policies=["parents"]))
    child = _as(daemon, parent.auth.token.create())
    grandchild = _as(daemon, child.auth.token.create())
    orphan = _as(daemon, child.auth.token.create_orphan())
    assert orphan.auth.token.lookup_self()["data"]["orphan"] is True
    root.auth.token.revoke(parent.token)
    assert [one.is_authenticated() for one in (parent, child, grandchild, orphan)] == [False, False, False, True]


def test_a_revoked_parent_may_leave_its_children(daemon: Daemon, root: hvac.Client) -> None:
    parent = _as(daemon, root.auth.token.create(policies=["root"]))
    child = _as(daemon, parent.auth.token.create(ttl="1h"))
    root.auth.token.revoke_and_orphan_children(parent.token)
    assert (parent.is_authenticated(), child.is_authenticated()) == (False, True)


def test_a_token_ends_with_its_time_and_with_its_last_use(daemon: Daemon, root: hvac.Client) -> None:
    short = _as(daemon, root.auth.token.create(ttl="3s"))
    counted = _as(daemon, root.auth.token.create(num_uses=2))
    assert short.is_authenticated()
    assert counted.auth.token.lookup_self()["data"]["num_uses"] == 1
    assert counted.auth.token.lookup_self()["data"]["num_uses"] in (0, -1)
    assert not counted.is_authenticated()
    time.sleep(3.2)
    assert not short.is_authenticated()


def test_no_token_lives_longer_than_its_longest_life(daemon: Daemon, root: hvac.Client) -> None:
    made = root.auth.token.create(ttl="1h", explicit_max_ttl="30m")
    assert made["auth"]["lease_duration"] == 1800
    periodic = root.auth.token.create(period="10m")
    renewed = _as(daemon, periodic).auth.token.renew_self(increment="5h")
    assert renewed["auth"]["lease_duration"] == 600


def test_nobody_gives_rights_that_he_has_not(daemon: Daemon, root: hvac.Client) -> None:
    root.sys.create_or_update_policy("maker", 'path "auth/token/create" { capabilities = ["update"] }')
    maker = _as(daemon, root.auth.token.create(policies=["maker"]))
    for refused, words in (
        ({"policies": ["root"]}, "root tokens may not be created without parent token being root"),
        ({"policies": ["security-administrator"]}, "child policies must be subset of parent"),
        ({"no_parent": True}, "root or sudo privileges required to create orphan token"),
        ({"period": "1h"}, "root or sudo privileges required to create periodic token"),
        ({"id": "mine-is-mine"}, "root required to specify token id"),
    ):
        with pytest.raises(InvalidRequest, match=words):
            maker.auth.token.create(**refused)
    with pytest.raises(Forbidden):
        maker.auth.token.create_orphan()


def test_a_role_of_tokens_bounds_what_is_made_under_it(root: hvac.Client) -> None:
    root.auth.token.create_or_update_role("ci", allowed_policies=["default", "deploy"], token_period="1h")
    made = root.auth.token.create(role_name="ci", policies=["deploy"])
    assert (made["auth"]["policies"], made["auth"]["lease_duration"]) == (["default", "deploy"], 3600)
    with pytest.raises(InvalidRequest, match="must be subset of the role's allowed policies"):
        root.auth.token.create(role_name="ci", policies=["other"])
    assert root.auth.token.read_role("ci")["data"]["token_period"] == 3600
    assert root.auth.token.list_roles()["data"]["keys"] == ["ci"]


POLICY = """
path "pol/data/*"          { capabilities = ["create", "read", "update"] }
path "pol/data/secret/*"   { capabilities = ["deny"] }
path "pol/data/+/open"     { capabilities = ["read"] }
path "pol/metadata/*"      { capabilities = ["list"] }
path "one/limited" {
  capabilities = ["create", "update"]
  required_parameters = ["owner"]
  allowed_parameters = { "owner" = [], "level" = ["low", "mid*"] }
  denied_parameters = { "password" = [] }
}
path "one/wrapped" {
  capabilities = ["read"]
  min_wrapping_ttl = "1m"
  max_wrapping_ttl = "2m"
}
"""


@pytest.fixture(scope="module")
def limited(daemon: Daemon) -> hvac.Client:
    root = daemon.client(daemon.root)
    root.sys.enable_secrets_engine("kv-v2", "pol")
    root.sys.enable_secrets_engine("kv", "one")
    root.secrets.kv.v1.create_or_update_secret("wrapped", {"a": "1"}, mount_point="one")
    root.sys.create_or_update_policy("limited", POLICY)
    return _as(daemon, root.auth.token.create(policies=["limited"]))


def test_the_most_exact_path_counts(limited: hvac.Client) -> None:
    kv = limited.secrets.kv.v2
    kv.create_or_update_secret("a", {"x": 1}, mount_point="pol")
    assert kv.list_secrets("", mount_point="pol")["data"]["keys"] == ["a"]
    for path in ("secret/x", "secret/open"):
        with pytest.raises(Forbidden, match="permission denied"):
            kv.create_or_update_secret(path, {"x": 1}, mount_point="pol")
    with pytest.raises(Forbidden):
        kv.create_or_update_secret("b/open", {"x": 1}, mount_point="pol")
    with pytest.raises(Forbidden):
        kv.delete_latest_version_of_secret("a", mount_point="pol")
    with pytest.raises(Forbidden):
        limited.sys.list_policies()


def test_parameters_are_required_allowed_and_denied(limited: hvac.Client) -> None:
    def write(secret: dict[str, str]) -> None:
        limited.secrets.kv.v1.create_or_update_secret("limited", secret, method="POST", mount_point="one")

    write({"owner": "me", "level": "middle"})
    for refused in (
        {"level": "low"},
        {"owner": "me", "level": "high"},
        {"owner": "me", "other": "x"},
        {"owner": "me", "password": "x"},
    ):
        with pytest.raises(Forbidden):
            write(refused)


def test_wrapping_may_be_demanded(limited: hvac.Client) -> None:
    for refused in (None, "30s", "3m"):
        with pytest.raises(Forbidden):
            limited.adapter.get("/v1/one/wrapped", wrap_ttl=refused)
    assert limited.adapter.get("/v1/one/wrapped", wrap_ttl="90s")["wrap_info"]["ttl"] == 90


def test_capabilities_are_told(limited: hvac.Client, root: hvac.Client) -> None:
    paths = ["pol/data/a", "pol/data/secret/a", "nowhere"]
    found = limited.sys.get_capabilities(paths)["data"]
    assert [found[path] for path in paths] == [["create", "read", "update"], ["deny"], ["deny"]]
    accessor = limited.auth.token.lookup_self()["data"]["accessor"]
    assert root.sys.get_capabilities(["nowhere"], accessor=accessor)["data"]["nowhere"] == ["deny"]
    assert root.sys.get_capabilities(["x"])["data"]["capabilities"] == ["root"]


def test_policies_are_kept_listed_and_refused(root: hvac.Client) -> None:
    names = root.sys.list_acl_policies()["data"]["keys"]
    assert {"default", "root", "system-administrator", "security-administrator", "audit-administrator"} <= set(names)
    root.sys.create_or_update_acl_policy("Json", {"path": {"a/*": {"capabilities": ["read"]}}})
    assert '"a/*"' in root.sys.read_acl_policy("json")["data"]["policy"]
    root.sys.delete_acl_policy("json")
    with pytest.raises(InvalidPath, match="No policy named: json"):
        root.sys.read_acl_policy("json")
    with pytest.raises(InvalidRequest, match="failed to parse policy: path 'a': expected a capability"):
        root.sys.create_or_update_policy("bad", 'path "a" { capabilities = ["reed"] }')
    with pytest.raises(InvalidRequest, match="cannot delete 'default' policy"):
        root.sys.delete_policy("default")


def test_three_administrators_are_kept_apart(daemon: Daemon, root: hvac.Client) -> None:
    system, security, audit = (
        _as(daemon, root.auth.token.create(policies=[f"{name}-administrator"], no_default_policy=True))
        for name in ("system", "security", "audit")
    )
    assert "sys/" in system.sys.list_mounted_secrets_engines()["data"]
    assert security.sys.list_policies()["data"]["keys"]
    assert audit.sys.list_enabled_audit_devices()["data"] == {}
    for refused in (
        lambda: system.sys.create_or_update_policy("x", 'path "y" { capabilities = ["read"] }'),
        lambda: system.sys.list_enabled_audit_devices(),
        lambda: security.sys.list_enabled_audit_devices(),
        lambda: security.sys.seal(),
        lambda: audit.sys.create_or_update_policy("x", 'path "y" { capabilities = ["read"] }'),
        lambda: audit.sys.list_mounted_secrets_engines(),
    ):
        with pytest.raises(Forbidden):
            refused()


def test_a_program_logs_in_by_approle(daemon: Daemon, root: hvac.Client) -> None:
    root.sys.enable_auth_method("approle")
    approle = root.auth.approle
    approle.create_or_update_approle("web", token_policies=["limited"], token_ttl="10m", secret_id_num_uses=2)
    role_id = approle.read_role_id("web")["data"]["role_id"]
    secret = approle.generate_secret_id("web", metadata={"host": "a"})["data"]
    client = daemon.client()
    login = client.auth.approle.login(role_id, secret["secret_id"])
    assert (login["auth"]["policies"], login["auth"]["lease_duration"]) == (["default", "limited"], 600)
    assert login["auth"]["metadata"] == {"role_name": "web", "host": "a"}
    assert client.is_authenticated()
    client.auth.approle.login(role_id, secret["secret_id"])
    with pytest.raises(InvalidRequest, match="invalid role or secret ID"):
        daemon.client().auth.approle.login(role_id, secret["secret_id"])
    other = approle.generate_secret_id("web")["data"]
    assert approle.list_secret_id_accessors("web")["data"]["keys"] == [other["secret_id_accessor"]]
    assert approle.read_secret_id("web", other["secret_id"])["data"]["secret_id_num_uses"] == 2
    approle.destroy_secret_id_accessor("web", other["secret_id_accessor"])
    with pytest.raises(InvalidRequest):
        daemon.client().auth.approle.login(role_id, other["secret_id"])
    assert approle.read_role("web")["data"]["token_ttl"] == 600
    assert approle.list_roles()["data"]["keys"] == ["web"]
    approle.delete_role("web")
    with pytest.raises(InvalidPath):
        approle.read_role("web")


def test_a_person_logs_in_by_password_and_guesses_are_slowed_down(daemon: Daemon, root: hvac.Client) -> None:
    root.sys.enable_auth_method("userpass", path="people")
    userpass = root.auth.userpass
    userpass.create_or_update_user("li", "p\u00e4ssword-1", mount_point="people", token_policies=["limited"])
    client = daemon.client()
    login = client.auth.userpass.login("li", "p\u00e4ssword-1", mount_point="people")
    assert (login["auth"]["metadata"], login["auth"]["policies"]) == ({"username": "li"}, ["default", "limited"])
    userpass.update_password_on_user("li", "another-password", mount_point="people")
    assert userpass.list_user(mount_point="people")["data"]["keys"] == ["li"]
    for name in ("li", "nobody"):
        with pytest.raises(InvalidRequest, match="invalid username or password"):
            daemon.client().auth.userpass.login(name, "p\u00e4ssword-1", mount_point="people")
    for _ in range(4):
        with pytest.raises(InvalidRequest):
            daemon.client().auth.userpass.login("li", "wrong", mount_point="people")
    with pytest.raises(hvac.exceptions.RateLimitExceeded, match="too many failures"):
        daemon.client().auth.userpass.login("li", "another-password", mount_point="people")


def test_a_policy_is_filled_with_who_logged_in(daemon: Daemon, root: hvac.Client, limited: hvac.Client) -> None:
    root.sys.enable_auth_method("userpass", path="own")
    accessor = root.sys.list_auth_methods()["data"]["own/"]["accessor"]
    name = "{{identity.entity.aliases." + accessor + ".name}}"
    root.sys.create_or_update_policy("own", f'path "one/of/{name}" {{ capabilities = ["create", "read", "update"] }}')
    root.auth.userpass.create_or_update_user("wang", "long-password", policies="own", mount_point="own")
    client = daemon.client()
    client.auth.userpass.login("wang", "long-password", mount_point="own")
    client.secrets.kv.v1.create_or_update_secret("of/wang", {"a": "1"}, mount_point="one")
    with pytest.raises(Forbidden):
        client.secrets.kv.v1.create_or_update_secret("of/li", {"a": "1"}, mount_point="one")


def test_a_response_is_wrapped_and_opened_once(daemon: Daemon, root: hvac.Client) -> None:
    root.sys.enable_secrets_engine("kv", "wrapping")
    root.secrets.kv.v1.create_or_update_secret("x", {"a": "1"}, mount_point="wrapping")
    info = root.adapter.get("/v1/wrapping/x", wrap_ttl="1m")["wrap_info"]
    assert (info["ttl"], info["creation_path"]) == (60, "wrapping/x")
    looked = root.write_data("sys/wrapping/lookup", data={"token": info["token"]})["data"]
    assert looked["creation_path"] == "wrapping/x"
    assert root.sys.unwrap(info["token"])["data"] == {"a": "1"}
    with pytest.raises(InvalidRequest, match="wrapping token is not valid or does not exist"):
        root.sys.unwrap(info["token"])
    second = root.sys.wrap({"b": "2"}, ttl=60)["wrap_info"]["token"]
    bearer = daemon.client(second)
    assert bearer.sys.unwrap()["data"] == {"b": "2"}
    with pytest.raises(Forbidden):
        bearer.sys.unwrap()
    third = root.write_data("sys/wrapping/wrap", data={"c": "3"}, wrap_ttl="1m")["wrap_info"]["token"]
    fourth = root.write_data("sys/wrapping/rewrap", data={"token": third})["wrap_info"]["token"]
    assert root.sys.unwrap(fourth)["data"] == {"c": "3"}


def test_mounts_are_tuned_moved_and_taken_away(root: hvac.Client) -> None:
    root.sys.enable_secrets_engine("kv", "here", description="first", config={"default_lease_ttl": "1h"})
    root.sys.tune_mount_configuration("here", max_lease_ttl="2h", description="second")
    tuned = root.sys.read_mount_configuration("here")["data"]
    assert (tuned["default_lease_ttl"], tuned["max_lease_ttl"], tuned["description"]) == (3600, 7200, "second")
    root.secrets.kv.v1.create_or_update_secret("x", {"a": "1"}, mount_point="here")
    root.sys.move_backend("here", "there")
    assert root.secrets.kv.v1.read_secret("x", mount_point="there")["data"] == {"a": "1"}
    with pytest.raises(InvalidRequest, match="path is already in use at there/"):
        root.sys.enable_secrets_engine("kv", "there/deeper")
    with pytest.raises(InvalidRequest, match='plugin not found in the catalog: "nothing"'):
        root.sys.enable_secrets_engine("nothing", "x")
    root.sys.disable_secrets_engine("there")
    with pytest.raises(InvalidPath, match="no handler for route"):
        root.secrets.kv.v1.read_secret("x", mount_point="there")
    assert "there/" not in root.sys.list_mounted_secrets_engines()["data"]


def test_clients_find_out_what_is_mounted(daemon: Daemon, root: hvac.Client, limited: hvac.Client) -> None:
    root.sys.enable_secrets_engine("kv", "unseen")
    shown = limited.adapter.get("/v1/sys/internal/ui/mounts")["data"]["secret"]
    assert {"pol/", "one/"} <= shown.keys()
    assert "unseen/" not in shown
    assert limited.adapter.get("/v1/sys/internal/ui/mounts/pol/data/x")["data"]["options"] == {"version": "2"}
    assert daemon.client().adapter.get("/v1/sys/internal/ui/mounts")["data"]["secret"] == {}
    assert len(root.adapter.post("/v1/sys/tools/random/16", json={"format": "hex"})["data"]["random_bytes"]) == 32
    hashed = root.adapter.post("/v1/sys/tools/hash/sm3", json={"input": "YWJj"})["data"]["sum"]
    assert hashed == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"


def test_what_is_not_there_is_told(root: hvac.Client, daemon: Daemon) -> None:
    with pytest.raises(InvalidPath, match="unsupported path"):
        root.adapter.get("/v1/sys/nothing")
    with pytest.raises(hvac.exceptions.UnexpectedError, match="unsupported operation"):
        root.adapter.delete("/v1/sys/health")
    with pytest.raises(Forbidden, match="permission denied"):
        daemon.client("hvs.wrong").secrets.kv.v1.read_secret("x")
    with pytest.raises(InvalidPath, match="namespaces are not supported"):
        daemon.client(daemon.root, namespace="team").sys.list_policies()
