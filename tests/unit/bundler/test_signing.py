"""`ferry build`, `ferry sign` and `ferry verify` from the command line: several keys, root documents, demands."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from bundles import EDWARDS, NOBODY, OFFICER, ROOT, SIGNER, signed_again, small_bundle
from click.testing import CliRunner, Result
from trusted import revocation_list, root_document

from bundler.cli import ferry
from bundler.cli.signing import held_certificates, open_signers, read_carried
from bundler.errors import TrustError
from bundler.model.trust import TrustDocument
from keystore import disk
from keystore.errors import KeystoreError, SignatureError
from keystore.file import FileKeystore
from keystore.public import VerifyingKey
from keystore.signer import Signer

PASSPHRASE = "correct horse battery"


@dataclass(frozen=True)
class Holder:
    """One whose key signs elsewhere."""

    public: VerifyingKey


class Office:
    """A folder with a keystore, root documents and a bundle that one of two has signed."""

    def __init__(self, folder: Path, keys: Path) -> None:
        self.folder = folder
        self.keys = keys
        self.passphrase = folder / "passphrase"
        disk.write(self.passphrase, PASSPHRASE.encode())
        public = FileKeystore.open(keys).public("release")
        root = root_document(1, [OFFICER], [SIGNER, Holder(public)], threshold=2)
        (folder / "1.root.json").write_bytes(root)
        (folder / "1.revocations.json").write_bytes(NOBODY)
        (folder / "x.tar").write_bytes(
            signed_again(small_bundle(expires=""), SIGNER, roots=(root,), revocations=NOBODY)
        )
        (folder / "signer.pem").write_text(SIGNER.public.pem())

    def run(self, *words: object) -> Result:
        return CliRunner().invoke(ferry, [str(word) for word in words], env={"LANG": "C.UTF-8", "LC_ALL": ""})

    def sign(self, *words: object) -> Result:
        return self.run(
            "sign", self.folder / "x.tar", "--keystore", self.keys, "--passphrase-file", self.passphrase, *words
        )


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("keys") / "keystore"
    store = FileKeystore.create(directory, PASSPHRASE, "standard")
    for name, algorithm in (("release", "sm2"), ("edwards", "ed25519")):
        store.generate(name, PASSPHRASE, algorithm)
    return directory


@pytest.fixture
def office(tmp_path: Path, keys: Path) -> Office:
    return Office(tmp_path, keys)


def test_two_sign_one_after_the_other(office: Office) -> None:
    root = office.folder / "1.root.json"
    first = office.run("verify", office.folder / "x.tar", "--trust", root)
    assert isinstance(first.exception, TrustError)
    done = office.sign("--trust", root)
    assert done.output == "signed: sample 1.0 (linux/amd64), 2 signatures now\n"
    told = office.run("verify", office.folder / "x.tar", "--trust", root)
    assert told.exit_code == 0, told.output
    assert told.stdout.splitlines()[-2:] == [
        "  trusted by root document version 1: 2 of 2 release keys must sign; revocations version 1",
        "  7 entries, sm3 of each is right",
    ]
    document = json.loads(office.run("verify", office.folder / "x.tar", "--trust", root, "--json").stdout)
    assert [one["scheme"] for one in document["signers"]] == ["sm2-sm3", "sm2-sm3"]
    assert document["trusted_by"] == {"source": "root", "threshold": 2, "version": 1}
    assert document["revocations"] == {"version": 1, "revoked": 0}
    assert document["keyid"] == SIGNER.keyid


def test_what_is_missing_is_told_to_who_signs(office: Office) -> None:
    done = office.sign("--key", "edwards", "--trust", office.folder / "signer.pem", "--demand", "ecdsa-p256-sha256")
    assert done.output == (
        "signed: sample 1.0 (linux/amd64), 2 signatures now\n"
        "  not yet accepted: ferry.json.dsse: expected ecdsa-p256-sha256 signatures by 1 of the release role's keys, "
        "got 0\n"
    )


def test_a_bundle_is_signed_once_by_each(office: Office) -> None:
    office.sign("--trust", office.folder / "signer.pem")
    again = office.sign("--trust", office.folder / "signer.pem")
    assert isinstance(again.exception, SignatureError)
    assert again.exception.hint == "this key has signed already: sign with another one"


def test_any_scheme_may_be_asked_for_in_the_gm_profile(office: Office) -> None:
    root = root_document(1, [OFFICER], [SIGNER, EDWARDS])
    path = office.folder / "mixed.json"
    path.write_bytes(root)
    bundle = office.folder / "y.tar"
    bundle.write_bytes(signed_again(small_bundle(expires=""), EDWARDS, roots=(root,), revocations=NOBODY))
    refused = office.run("verify", bundle, "--trust", path)
    assert str(refused.exception) == (
        "ferry.json.dsse: expected sm2-sm3 signatures by 1 of the release role's keys, got 0"
    )
    assert office.run("verify", bundle, "--trust", path, "--demand", "any").exit_code == 0
    assert office.run("verify", bundle, "--trust", path, "--profile", "standard").exit_code == 0


def opened(office: Office, *names: str) -> tuple[Signer, ...]:
    return open_signers(office.keys, names, office.passphrase, yes=False)


def test_keys_are_opened_together(office: Office) -> None:
    assert [signer.public.scheme for signer in opened(office, "release", "edwards", "release")] == [
        "sm2-sm3",
        "ed25519",
    ]
    with pytest.raises(KeystoreError, match="expected the key 'other', got 'edwards', 'release'"):
        opened(office, "release", "other")
    assert held_certificates(office.keys, ["release", "edwards"]) == ()


def test_what_a_bundle_carries_is_read_and_refused_by_file(office: Office) -> None:
    root, listed = office.folder / "1.root.json", office.folder / "1.revocations.json"
    assert read_carried((), None, ()) is None
    assert read_carried((root,), listed, ()) == TrustDocument(
        roots=(root.read_bytes(),), revocations=NOBODY, certificates=()
    )
    with pytest.raises(TrustError, match="expected --root and --revocations together, got one of them"):
        read_carried((root,), None, ())
    later = office.folder / "3.root.json"
    later.write_bytes(root_document(3, [OFFICER], [SIGNER]))
    with pytest.raises(SignatureError) as caught:
        read_carried((root, later), listed, ())
    assert str(caught.value) == f"{later}: root.version: expected version 2, got 3"
    listed.write_bytes(ROOT)
    with pytest.raises(SignatureError) as caught:
        read_carried((root,), listed, ())
    assert str(caught.value).startswith(f"{listed}: envelope.payloadType: expected ")


def test_a_list_without_keys_is_made_for_the_first_bundle(office: Office) -> None:
    path = office.folder / "new.json"
    assert office.run("trust", "revoke", "-o", path).exit_code == 0
    assert office.run("trust", "show", path).output.startswith("revocations version 1, made ")
    refused = office.run("trust", "revoke", "0" * 64, "-o", office.folder / "other.json")
    assert (refused.exit_code, "expected --reason with a KEYID" in refused.output) == (2, True)


def test_a_build_refuses_a_key_outside_its_root_document_before_it_reads_anything(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FERRY_STORE", str(office.folder / "store"))
    (office.folder / "recipe").mkdir()
    (office.folder / "2.revocations.json").write_bytes(revocation_list(2, [], [OFFICER]))
    done = office.run(
        *("build", office.folder / "recipe", "-o", office.folder / "out.tar", "--key", "edwards"),
        *("--keystore", office.keys, "--passphrase-file", office.passphrase),
        *("--root", office.folder / "1.root.json", "--revocations", office.folder / "2.revocations.json"),
    )
    assert isinstance(done.exception, TrustError), done.output
    assert done.exception.message == "expected a key of the release role of root document version 1, got another"
    assert not (office.folder / "out.tar").exists()
