"""What may sign a bundle."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from bundler.attest import check_signer
from bundler.cli import ferry
from bundler.errors import TrustError
from keystore.file import FileKeystore

PASSPHRASE = "correct horse battery"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A keystore with an SM2 key and one of each other scheme."""
    directory = tmp_path_factory.mktemp("keys") / "keystore"
    store = FileKeystore.create(directory, PASSPHRASE)
    for algorithm in ("sm2", "ed25519", "ecdsa-p256"):
        store.generate(algorithm, PASSPHRASE, algorithm)
    return directory


def test_an_sm2_key_signs(keys: Path) -> None:
    check_signer(FileKeystore.open(keys).signer("sm2", PASSPHRASE))


@pytest.mark.parametrize(("name", "scheme"), [("ed25519", "ed25519"), ("ecdsa-p256", "ecdsa-p256-sha256")])
def test_a_key_of_which_no_bundle_is_believed_is_refused(keys: Path, name: str, scheme: str) -> None:
    signer = FileKeystore.open(keys).signer(name, PASSPHRASE)
    with pytest.raises(TrustError) as refused:
        check_signer(signer)
    assert str(refused.value) == (
        f'{signer.keyid}: expected an SM2 key to sign a bundle, got one of the scheme "{scheme}"'
    )


def test_a_build_refuses_such_a_key_before_it_reads_anything(
    keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FERRY_STORE", str(tmp_path / "store"))
    (tmp_path / "passphrase").write_text(PASSPHRASE)
    (tmp_path / "passphrase").chmod(0o600)
    (tmp_path / "recipe").mkdir()
    words = ["build", tmp_path / "recipe", "-o", tmp_path / "out.tar", "--key", "ed25519", "--keystore", keys]
    done = CliRunner().invoke(ferry, [*map(str, words), "--passphrase-file", str(tmp_path / "passphrase")])
    assert isinstance(done.exception, TrustError), done.output
    assert done.exception.exit_code == 7
    assert not (tmp_path / "out.tar").exists()
