"""The key/value engines, asked by hvac."""

import time
from typing import Any

import hvac
import pytest
from hvac.exceptions import InvalidPath, InvalidRequest


@pytest.fixture
def kv(root: hvac.Client, request: pytest.FixtureRequest) -> Any:
    mount = f"kv-{request.node.name}"
    root.sys.enable_secrets_engine("kv", mount, options={"version": "2"})
    root.secrets.kv.v2.configure(max_versions=4, mount_point=mount)

    class Mounted:
        def __getattr__(self, name: str) -> Any:
            def call(*words: Any, **options: Any) -> Any:
                return getattr(root.secrets.kv.v2, name)(*words, mount_point=mount, **options)

            return call

    return Mounted()


def _read(kv: Any, path: str, version: int | None = None) -> Any:
    return kv.read_secret_version(path, version=version, raise_on_deleted_version=True)["data"]


def test_every_write_is_a_version_and_the_oldest_go(kv: Any) -> None:
    for number in range(1, 7):
        written = kv.create_or_update_secret("a/b", {"n": number, "text": "ü 密"})["data"]
        assert written["version"] == number
    assert _read(kv, "a/b")["data"] == {"n": 6, "text": "ü 密"}
    assert _read(kv, "a/b", 3)["data"]["n"] == 3
    with pytest.raises(InvalidPath):
        _read(kv, "a/b", 2)
    metadata = kv.read_secret_metadata("a/b")["data"]
    assert (metadata["current_version"], metadata["oldest_version"]) == (6, 3)
    assert sorted(metadata["versions"]) == ["3", "4", "5", "6"]


def test_a_check_and_set_holds(kv: Any) -> None:
    kv.create_or_update_secret("x", {"a": 1}, cas=0)
    with pytest.raises(InvalidRequest, match="check-and-set parameter did not match the current version"):
        kv.create_or_update_secret("x", {"a": 2}, cas=0)
    kv.create_or_update_secret("x", {"a": 2}, cas=1)
    kv.update_metadata("x", cas_required=True)
    with pytest.raises(InvalidRequest, match="check-and-set parameter required for this call"):
        kv.create_or_update_secret("x", {"a": 3})


def test_versions_are_deleted_brought_back_and_destroyed(kv: Any) -> None:
    for number in (1, 2, 3):
        kv.create_or_update_secret("x", {"n": number})
    kv.delete_latest_version_of_secret("x")
    with pytest.raises(InvalidPath) as refused:
        _read(kv, "x")
    assert refused.value.json["data"]["metadata"]["deletion_time"]
    assert refused.value.json["data"]["data"] is None
    kv.undelete_secret_versions("x", [3])
    assert _read(kv, "x")["data"] == {"n": 3}
    kv.delete_secret_versions("x", [1, 2])
    kv.destroy_secret_versions("x", [1])
    kv.undelete_secret_versions("x", [1, 2])
    with pytest.raises(InvalidPath):
        _read(kv, "x", 1)
    assert _read(kv, "x", 2)["data"] == {"n": 2}
    assert kv.read_secret_metadata("x")["data"]["versions"]["1"]["destroyed"] is True


def test_a_patch_changes_what_it_names(root: hvac.Client) -> None:
    # hvac's own patch reads and writes; the operation of the API is asked for directly.
    def patch(path: str, document: dict[str, Any]) -> Any:
        headers = {"Content-Type": "application/merge-patch+json"}
        return root.adapter.request("patch", f"/v1/patched/{path}", json=document, headers=headers)

    root.sys.enable_secrets_engine("kv-v2", "patched")
    kv = root.secrets.kv.v2
    with pytest.raises(InvalidPath):
        patch("data/x", {"data": {"a": 1}})
    kv.create_or_update_secret("x", {"a": 1, "b": {"c": 2, "d": 3}}, mount_point="patched")
    patch("data/x", {"data": {"b": {"c": None, "e": 4}}})
    found = kv.read_secret_version("x", mount_point="patched", raise_on_deleted_version=True)
    assert found["data"]["data"] == {"a": 1, "b": {"d": 3, "e": 4}}
    kv.update_metadata("x", custom_metadata={"a": "1", "b": "2"}, mount_point="patched")
    patch("metadata/x", {"custom_metadata": {"a": None}, "max_versions": 7})
    metadata = kv.read_secret_metadata("x", mount_point="patched")["data"]
    assert (metadata["custom_metadata"], metadata["max_versions"]) == ({"b": "2"}, 7)


def test_secrets_are_listed_by_folder(kv: Any) -> None:
    for path in ("a", "a/b", "a/c/d", "z"):
        kv.create_or_update_secret(path, {"n": 1})
    assert kv.list_secrets("")["data"]["keys"] == ["a", "a/", "z"]
    assert kv.list_secrets("a")["data"]["keys"] == ["b", "c/"]
    with pytest.raises(InvalidPath):
        kv.list_secrets("none")
    kv.delete_metadata_and_all_versions("a")
    assert kv.list_secrets("")["data"]["keys"] == ["a/", "z"]


def test_metadata_and_configuration_are_kept(kv: Any) -> None:
    kv.update_metadata("x", max_versions=2, delete_version_after="1h", custom_metadata={"owner": "ops"})
    found = kv.read_secret_metadata("x")["data"]
    assert (found["max_versions"], found["delete_version_after"], found["custom_metadata"]) == (
        2,
        "1h0m0s",
        {"owner": "ops"},
    )
    assert found["current_version"] == 0
    config = kv.read_configuration()["data"]
    assert config == {"max_versions": 4, "cas_required": False, "delete_version_after": "0s"}


def test_a_version_ends_by_itself(kv: Any) -> None:
    kv.configure(delete_version_after="1s")
    kv.create_or_update_secret("x", {"n": 1})
    assert _read(kv, "x")["data"] == {"n": 1}
    time.sleep(1.1)
    with pytest.raises(InvalidPath):
        _read(kv, "x")


def test_keys_are_told_without_their_values(root: hvac.Client) -> None:
    root.sys.enable_secrets_engine("kv-v2", "sub")
    root.secrets.kv.v2.create_or_update_secret("x", {"a": {"b": "secret"}, "c": 1}, mount_point="sub")
    found = root.adapter.get("/v1/sub/subkeys/x")["data"]["subkeys"]
    assert found == {"a": {"b": None}, "c": None}
    assert root.adapter.get("/v1/sub/subkeys/x", params={"depth": 1})["data"]["subkeys"] == {"a": None, "c": None}


def test_version_1_writes_over(root: hvac.Client) -> None:
    root.sys.enable_secrets_engine("kv", "one")
    kv = root.secrets.kv.v1
    kv.create_or_update_secret("a/b", {"x": "1"}, mount_point="one")
    kv.create_or_update_secret("a/b", {"y": "2", "ttl": "1h"}, mount_point="one")
    found = kv.read_secret("a/b", mount_point="one")
    assert (found["data"], found["lease_duration"], found["lease_id"]) == ({"y": "2", "ttl": "1h"}, 3600, "")
    assert kv.list_secrets("", mount_point="one")["data"]["keys"] == ["a/"]
    kv.delete_secret("a/b", mount_point="one")
    with pytest.raises(InvalidPath):
        kv.read_secret("a/b", mount_point="one")
    with pytest.raises(InvalidRequest, match="missing data fields"):
        kv.create_or_update_secret("a/b", {}, mount_point="one")


def test_a_cubbyhole_is_the_tokens_own(root: hvac.Client) -> None:
    root.write_data("cubbyhole/x", data={"a": "1"})
    assert root.read("cubbyhole/x")["data"] == {"a": "1"}
    other = hvac.Client(url=root.url, token=root.auth.token.create()["auth"]["client_token"])
    assert other.read("cubbyhole/x") is None
    assert root.list("cubbyhole")["data"]["keys"] == ["x"]
