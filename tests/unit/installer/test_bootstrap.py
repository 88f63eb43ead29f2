"""The first contact: what install.sh lets pass before anything of a bundle is unpacked or run."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from bundles import CERTIFICATE, EDWARDS, NIST, NOBODY, ROOT, SIGNER, STRANGER, signed_again, small_bundle, with_head

from bundler.archive import read_head
from bundler.installer.bootstrap import install_script
from bundler.model.descriptor import LAYER
from bundler.model.platform import platform_of_machine
from bundler.store import describe_bytes
from keystore.envelope import parse_envelope

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="install.sh asks for root"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="without OpenSSL nothing is judged there"),
]
# The next thing that install.sh checks: it is not the one that the sample names.
PASSED = (6, "error: expected the install.sh that ferry.json names, this is another: take it from")


def first_contact(bundle: bytes, tmp_path: Path, *trusted: bytes) -> tuple[int, str]:
    platform = platform_of_machine(os.uname().machine)
    assert platform is not None
    script = install_script(platform, describe_bytes(b"runtime", LAYER), [], "3.11")
    (tmp_path / "install.sh").write_bytes(script)
    (tmp_path / "x.tar").write_bytes(bundle)
    words = []
    for index, data in enumerate(trusted):
        (tmp_path / f"{index}.pem").write_bytes(data)
        words += ["--trust", str(tmp_path / f"{index}.pem")] if index % 2 else [f"--trust={tmp_path / f'{index}.pem'}"]
    done = subprocess.run(
        ["sh", tmp_path / "install.sh", tmp_path / "x.tar", *words],
        env={"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path), "FERRY_PREFIX": str(tmp_path / "ferry")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("ferry.")] == []
    return done.returncode, done.stderr.partition(' "')[0].strip()


def pem(key: object) -> bytes:
    return key.public.pem().encode()  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("key", [SIGNER, EDWARDS, NIST], ids=["sm2", "ed25519", "p256"])
def test_the_detached_signature_is_judged_in_the_scheme_of_the_key(key: object, tmp_path: Path) -> None:
    bundle = signed_again(small_bundle(), key)  # type: ignore[arg-type]
    assert first_contact(bundle, tmp_path, pem(key)) == PASSED
    signature = bytearray(read_head(io.BytesIO(bundle)).signature)
    signature[-1] ^= 1
    forged = with_head(signed_again(bundle, STRANGER), signature=bytes(signature))
    assert first_contact(forged, tmp_path, pem(key)) == (
        7,
        f"error: expected a signature of ferry.json by {tmp_path}/0.pem, OpenSSL finds none that verifies",
    )


@pytest.mark.parametrize("key", [EDWARDS, NIST, STRANGER], ids=["ed25519", "p256", "sm2"])
def test_the_envelope_is_judged_for_who_did_not_make_the_detached_signature(key: object, tmp_path: Path) -> None:
    bundle = signed_again(small_bundle(), SIGNER, key)  # type: ignore[arg-type]
    assert first_contact(bundle, tmp_path, pem(key)) == PASSED
    head = read_head(io.BytesIO(bundle))
    other = with_head(bundle, manifest=head.manifest.replace(b'"sequence": 1', b'"sequence": 2'))
    assert first_contact(other, tmp_path, pem(key))[0] == 7
    found = parse_envelope(head.envelope)
    of_signer = dict(found.signatures)[SIGNER.keyid]
    borrowed = replace(found, signatures=((key.keyid, of_signer),))  # type: ignore[attr-defined]
    assert first_contact(with_head(bundle, envelope=borrowed.encode()), tmp_path, pem(key))[0] == 7


def test_of_several_keys_one_will_do(tmp_path: Path) -> None:
    assert first_contact(small_bundle(), tmp_path, pem(SIGNER), pem(STRANGER)) == PASSED
    assert first_contact(small_bundle(), tmp_path, pem(STRANGER), pem(SIGNER)) == PASSED
    assert first_contact(small_bundle(), tmp_path, pem(STRANGER), pem(EDWARDS))[0] == 7


def test_root_documents_and_certificates_are_left_to_ferry(tmp_path: Path) -> None:
    bundle = signed_again(small_bundle(), SIGNER, roots=(ROOT,), revocations=NOBODY)
    assert first_contact(bundle, tmp_path, ROOT) == PASSED
    assert first_contact(bundle, tmp_path, CERTIFICATE, pem(STRANGER)) == PASSED
