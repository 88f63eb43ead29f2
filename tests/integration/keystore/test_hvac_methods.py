"""Every method that hvac has for these engines: it works, or is refused in the words that Vault's own users meet.

With OpenBao (`FERRY_BAO`, or `bao` on the path) the same calls go there as well: what it does, we do.
"""

import inspect
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator

import hvac
import pytest
import requests
from daemon import served
from hvac.exceptions import InvalidPath, InvalidRequest
from hvacmethods import ELSEWHERE, METHODS, World, names
from ports import free_port

_NOWHERE = (InvalidPath, "unsupported path")
# What needs a state of the seal that these calls do not make, or is Vault Enterprise's, a cluster's or a namespace's.
REFUSED = {
    "sys.Init.initialize": (InvalidRequest, "Vault is already initialized"),
    "sys.Key.generate_root": (InvalidRequest, "no root generation in progress"),
    "sys.Key.read_backup_keys": (InvalidRequest, "no backed-up keys found"),
    "sys.Key.rekey": (InvalidRequest, "no rekey in progress"),
    "sys.Key.rekey_multi": (InvalidRequest, "no rekey in progress"),
    "sys.Lease.renew_lease": (InvalidRequest, "lease is not renewable"),
    **{name: _NOWHERE for name in METHODS if name.startswith("sys.Namespace.")},
    **{name: _NOWHERE for name in METHODS if "_egp_" in name or "_rgp_" in name},
    **{name: _NOWHERE for name in METHODS if "raft_auto_snapshot" in name},
    "sys.Raft.join_raft_cluster": _NOWHERE,
    "sys.Raft.read_raft_config": _NOWHERE,
    "sys.Raft.remove_raft_node": _NOWHERE,
}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("methods")
    with served(folder / "data", "--profile", "standard") as daemon:
        root = daemon.unsealed()
        yield World(root, daemon.client, folder, daemon.shares[0])


@pytest.fixture(scope="module")
def openbao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    program = os.environ.get("FERRY_BAO") or shutil.which("bao")
    if program is None:
        pytest.skip("OpenBao is absent (FERRY_BAO, or bao on the path)")
    folder = tmp_path_factory.mktemp("openbao")
    address = f"127.0.0.1:{free_port()}"
    command = [program, "server", "-dev", "-dev-root-token-id=root", f"-dev-listen-address={address}"]

    def client(token: str | None) -> hvac.Client:
        return hvac.Client(url=f"http://{address}", token=token, timeout=30)

    with (folder / "log").open("wb") as log:
        environment = {**os.environ, "HOME": str(folder)}
        started = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        try:
            _await(client(None))
            yield World(client("root"), client, folder)
        finally:
            os.killpg(started.pid, signal.SIGTERM)
            started.wait(30)


def _await(client: hvac.Client) -> None:
    for _ in range(300):
        try:
            if client.sys.is_initialized():
                return
        except requests.ConnectionError:
            time.sleep(0.1)
    raise AssertionError("OpenBao did not start")


def test_every_method_of_hvac_is_called() -> None:
    assert set(names()) == METHODS.keys() | ELSEWHERE.keys()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", [name for name in METHODS if name not in REFUSED])
def test_a_method_works(ours: World, name: str) -> None:
    METHODS[name](ours)


@pytest.mark.parametrize("name", REFUSED)
def test_a_method_is_refused(ours: World, name: str) -> None:
    kind, told = REFUSED[name]
    with pytest.raises(kind, match=told):
        METHODS[name](ours)


def _shape(value: object) -> object:
    """Return the fields of an answer with the types of their values."""
    if isinstance(value, requests.Response):
        return value.status_code
    if isinstance(value, dict):
        return {key: _shape(one) for key, one in value.items()}
    return type(value).__name__


_SAME = (
    "auth.Token.lookup_self",
    "auth.Token.create",
    "auth.AppRole.login",
    "secrets.KvV2.read_secret",
    "sys.Wrapping.wrap",
)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", _SAME)
def test_an_answer_has_the_fields_that_openbao_gives(ours: World, openbao: World, name: str) -> None:
    mine, theirs = _shape(METHODS[name](ours)), _shape(METHODS[name](openbao))
    assert isinstance(mine, dict)
    assert isinstance(theirs, dict)
    assert theirs.keys() <= mine.keys()
    for part in ("data", "auth", "wrap_info"):
        if isinstance(theirs[part], dict):
            assert theirs[part].keys() <= mine[part].keys()


def _asked(world: World, path: str) -> set[str]:
    """Return the fields that a path answers; those of a request on its way where that is what it tells."""
    answer = world.root.adapter.get(f"/v1/{path}")
    told = next(iter(answer.values())) if path.endswith("in-flight-req") else answer.get("data", answer)
    assert isinstance(told, dict)
    return set(told)


@pytest.mark.parametrize("path", ["sys/rotate/config", "sys/in-flight-req", "sys/host-info", "sys/metrics"])
def test_what_operators_ask_has_the_fields_that_openbao_gives(ours: World, openbao: World, path: str) -> None:
    assert _asked(ours, path) == _asked(openbao, path)


def test_what_agents_ask_besides(ours: World) -> None:
    get = ours.root.adapter.get
    assert set(get("/v1/sys/loggers")["data"]) == {"audit", "core", "expiration"}
    assert "/transit/keys/{name}" in get("/v1/sys/internal/specs/openapi")["paths"]
    assert "vault_core_unsealed 1\n" in get("/v1/sys/metrics", params={"format": "prometheus"}).text
    assert get("/v1/sys/ha-status")["data"] == {"nodes": None}
    assert get("/v1/sys/replication/status")["data"]["dr"] == {"mode": "disabled"}
    assert get("/v1/sys/internal/ui/feature-flags") == {"feature_flags": None}
    assert get("/v1/sys/plugins/catalog")["data"]["auth"] == ["approle", "cert", "token", "userpass"]
    assert ours.root.adapter.list("/v1/sys/version-history")["data"]["keys"] == ["1.17.0+ferry"]
    assert "signature" in inspect.signature(ours.root.secrets.transit.verify_signed_data).parameters


def test_too_many_requests_are_refused(ours: World) -> None:
    mount = ours.mount()
    ours.root.sys.create_or_update_quota("few", 3, path=f"{mount}/", interval="10m")
    answers = []
    for _ in range(5):
        answer = requests.get(f"{ours.root.url}/v1/{mount}/x", headers={"X-Vault-Token": ours.root.token}, timeout=10)
        answers.append(answer.status_code)
    assert answers == [404, 404, 404, 429, 429]
    assert answer.json()["errors"] == [f'request path "{mount}/x": rate limit quota exceeded']
    ours.root.sys.read_quota("few")
    ours.root.sys.delete_quota("few")
    with pytest.raises(InvalidPath):
        ours.root.secrets.kv.v1.read_secret("x", mount_point=mount)
    with pytest.raises(InvalidRequest, match="rate: expected a number from"):
        ours.root.sys.create_or_update_quota("bad", -1)
    with pytest.raises(InvalidRequest, match="invalid mount 'nowhere/'"):
        ours.root.sys.create_or_update_quota("bad", 1, path="nowhere/")
