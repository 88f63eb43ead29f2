"""The keystore as an installer makes and uses it: initialised by nobody else, unsealed by a file, no token kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from daemon import Daemon
from hosts import NOW

from bundler.errors import HostError
from bundler.installer.escort.issue import CERTIFICATE, TOKENS, Issuer
from bundler.installer.escort.vault import Vault, as_root, initialise, wait


@pytest.fixture
def share(tmp_path: Path) -> str:
    """Make a store; the share is there before the store is."""
    found: list[str] = []

    def keep(text: str) -> None:
        assert not (tmp_path / "store").exists()
        found.append(text)

    (tmp_path / ".new-store").mkdir()
    (tmp_path / ".new-store/left").touch()
    initialise(tmp_path / "store", keep)
    return found[0]


@pytest.fixture
def socket(tmp_path: Path, share: str):  # type: ignore[no-untyped-def]
    """Serve it; it unseals itself."""
    path = tmp_path / "unseal"
    path.write_text(share)
    path.chmod(0o600)
    daemon = Daemon(tmp_path / "store", "--socket", str(tmp_path / "api.sock"), "--unseal-from", str(path)).start()
    try:
        yield tmp_path / "api.sock"
    finally:
        daemon.stop()


def test_a_store_unseals_itself_and_keeps_no_token_of_roots(socket: Path, share: str, tmp_path: Path) -> None:
    wait(socket, 10)
    with as_root(socket, share) as found:
        for _ in range(2):
            found.furnish(str(tmp_path / "audit.log"))
        assert found.read("agent/key") is None
        found.write("agent/key", "密钥")
        assert found.read("agent/key") == "密钥"
    with pytest.raises(HostError) as caught:
        found.read("agent/key")
    assert str(caught.value) == "agent/key: the keystore refuses: status 403"
    log = (tmp_path / "audit.log").read_text()
    assert "密钥" not in log
    assert "ferry/data/agent/key" in log


def test_a_wrong_share_makes_no_token(socket: Path, share: str) -> None:
    wrong = share[:-4] + ("0000" if share[-4:] != "0000" else "1111")
    with pytest.raises(HostError, match=r"^sys/generate-root/update: the keystore refuses: "), as_root(socket, wrong):
        raise AssertionError("never here")


def test_what_is_made_once_stays_until_it_is_replaced(socket: Path, share: str, tmp_path: Path) -> None:
    with as_root(socket, share) as found:
        found.furnish(str(tmp_path / "audit.log"))
        issuer = Issuer(vault=found, clients=("a", "b"), names=("localhost",), certificate_given=False, now=NOW)
        secret = issuer.value("agent", "cookie-key")
        assert len(secret) == 43
        assert issuer.value("agent", "cookie-key") == secret
        tokens = issuer.value(*TOKENS)
        assert [line.split()[1] for line in tokens.splitlines()] == ["a", "b"]
        assert issuer.value(*TOKENS) == tokens
        found.write("gateway/tokens/a", "another-token-of-a")
        changed = issuer.value(*TOKENS)
        assert changed.splitlines()[0] != tokens.splitlines()[0]
        assert changed.splitlines()[1] == tokens.splitlines()[1]
        made = issuer.value(*CERTIFICATE)
        assert issuer.value(*CERTIFICATE) != made, "its names or its end changed: it is made anew"
        found.write("/".join(CERTIFICATE), "of the operator")
        given = Issuer(vault=found, clients=(), names=(), certificate_given=True, now=NOW)
        assert given.value(*CERTIFICATE) == "of the operator"


def test_a_keystore_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught:
        Vault(tmp_path / "none.sock").ask("GET", "sys/health")
    assert str(caught.value) == f"{tmp_path}/none.sock: the keystore does not answer: No such file or directory"
    with pytest.raises(HostError) as caught:
        wait(tmp_path / "none.sock", 0)
    assert str(caught.value) == (
        "keystore: expected the keystore to answer unsealed within 0 s: "
        "the keystore does not answer: No such file or directory"
    )


def test_a_share_that_cannot_be_kept_leaves_no_store(tmp_path: Path) -> None:
    def refuse(text: str) -> None:
        raise HostError("the disk is full")

    with pytest.raises(HostError, match=r"^the disk is full$"):
        initialise(tmp_path / "store", refuse)
    assert list(tmp_path.iterdir()) == []
