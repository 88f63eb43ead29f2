"""Seal, keys and health, asked by hvac."""

import base64
from pathlib import Path

import hvac
import pytest
from daemon import Daemon, served


def test_a_store_is_made_unsealed_sealed_and_unsealed_again(data: Path) -> None:
    with served(data) as daemon:
        client = daemon.client()
        assert not client.sys.is_initialized()
        assert client.sys.read_health_status().status_code == 501
        made = client.sys.initialize(5, 3)
        assert len(made["keys"]) == 5
        assert [base64.b64decode(key).hex() for key in made["keys_base64"]] == made["keys"]
        assert client.sys.read_health_status().status_code == 503
        assert client.sys.submit_unseal_key(made["keys"][4])["progress"] == 1
        assert client.sys.submit_unseal_key(made["keys"][4])["progress"] == 1
        assert client.sys.submit_unseal_key(reset=True)["progress"] == 0
        for key in made["keys_base64"][1:4]:
            status = client.sys.submit_unseal_key(key)
        assert status["sealed"] is False
        health = client.sys.read_health_status(method="GET")
        assert {"initialized": True, "sealed": False, "standby": False}.items() <= health.items()
        client.token = made["root_token"]
        assert client.is_authenticated()
        client.sys.seal()
        assert client.sys.is_sealed()
        with pytest.raises(hvac.exceptions.VaultDown):
            client.secrets.kv.v1.read_secret("x")
        client.sys.submit_unseal_keys(made["keys"][:3])
        assert client.is_authenticated()


def test_wrong_shares_are_refused_and_the_tries_slow_down(data: Path) -> None:
    with served(data) as daemon:
        client = daemon.client()
        made = client.sys.initialize(2, 2)
        wrong = made["keys"][0][:-4] + "ff" + made["keys"][0][-2:]
        for _ in range(5):
            client.sys.submit_unseal_key(made["keys"][1])
            with pytest.raises(hvac.exceptions.InvalidRequest, match="expected shares of this store's unseal key"):
                client.sys.submit_unseal_key(wrong)
        with pytest.raises(hvac.exceptions.RateLimitExceeded, match="too many failures: try again in"):
            client.sys.submit_unseal_key(made["keys"][1])


def test_nothing_can_be_made_twice_or_with_senseless_numbers(data: Path) -> None:
    with served(data) as daemon:
        client = daemon.client()
        with pytest.raises(hvac.exceptions.InvalidRequest, match="got threshold 5 of 3 shares"):
            client.sys.initialize(3, 5)
        client.sys.initialize(1, 1)
        with pytest.raises(hvac.exceptions.InvalidRequest, match="Vault is already initialized"):
            client.sys.initialize(1, 1)


def test_the_unseal_key_is_changed_and_the_old_shares_are_void(data: Path) -> None:
    with served(data) as daemon:
        client = daemon.unsealed(3, 2)
        started = client.sys.start_rekey(secret_shares=2, secret_threshold=2)
        assert started["required"] == 2
        assert client.sys.rekey(daemon.shares[0], nonce=started["nonce"])["progress"] == 1
        made = client.sys.rekey(daemon.shares[1], nonce=started["nonce"])
        assert made["complete"] is True
        client.sys.seal()
        with pytest.raises(hvac.exceptions.InvalidRequest):
            client.sys.submit_unseal_keys(daemon.shares[:2])
        client.sys.submit_unseal_key(reset=True)
        assert client.sys.submit_unseal_keys(made["keys"])["sealed"] is False


def test_a_root_token_is_made_by_shares(data: Path) -> None:
    with served(data) as daemon:
        client = daemon.unsealed(2, 2)
        client.auth.token.revoke_self()
        assert not client.is_authenticated()
        started = client.sys.start_root_token_generation()
        for share in daemon.shares:
            answer = client.sys.generate_root(share, started["nonce"])
        masked = base64.b64decode(answer["encoded_root_token"] + "==")
        client.token = bytes(a ^ b for a, b in zip(masked, started["otp"].encode(), strict=True)).decode()
        assert client.auth.token.lookup_self()["data"]["policies"] == ["root"]


def test_a_new_term_seals_and_the_old_ones_still_open(daemon: Daemon, root: hvac.Client) -> None:
    root.sys.enable_secrets_engine("kv", "rotated")
    root.secrets.kv.v1.create_or_update_secret("before", {"a": "1"}, mount_point="rotated")
    term = root.sys.get_encryption_key_status()["data"]["term"]
    root.sys.rotate_encryption_key()
    root.secrets.kv.v1.create_or_update_secret("after", {"a": "2"}, mount_point="rotated")
    assert root.sys.get_encryption_key_status()["data"]["term"] == term + 1
    daemon.kill()
    daemon.start()
    again = daemon.reopen(daemon.root)
    assert again.secrets.kv.v1.read_secret("before", mount_point="rotated")["data"] == {"a": "1"}
    assert again.secrets.kv.v1.read_secret("after", mount_point="rotated")["data"] == {"a": "2"}


def test_an_older_snapshot_is_refused_unless_forced(data: Path) -> None:
    with served(data) as daemon:
        client = daemon.unsealed()
        client.sys.enable_secrets_engine("kv", "s")
        client.secrets.kv.v1.create_or_update_secret("x", {"v": "older-secret"}, mount_point="s")
        copy = client.sys.take_raft_snapshot().content
        client.secrets.kv.v1.create_or_update_secret("x", {"v": "new"}, mount_point="s")
        with pytest.raises(hvac.exceptions.InternalServerError, match="expected a snapshot of generation"):
            client.sys.restore_raft_snapshot(copy)
        assert client.secrets.kv.v1.read_secret("x", mount_point="s")["data"] == {"v": "new"}
        client.sys.force_restore_raft_snapshot(copy)
        assert client.secrets.kv.v1.read_secret("x", mount_point="s")["data"] == {"v": "older-secret"}
        assert b"older-secret" not in copy


def test_the_daemon_unseals_itself_from_a_file(data: Path, tmp_path: Path) -> None:
    with served(data) as daemon:
        daemon.unsealed(2, 2)
    shares = tmp_path / "shares"
    shares.write_text("\n".join(daemon.shares) + "\n")
    shares.chmod(0o600)
    with served(data, "--unseal-from", str(shares)) as daemon:
        assert not daemon.client().sys.is_sealed()
