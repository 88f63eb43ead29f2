"""The gate: each defect refused, each message whole, nothing let through to a sink."""

import hashlib
import io
import subprocess
import tarfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from bundles import DEFECTS, SIGNER, STRANGER, Defect, packed, small_bundle, small_manifest

from bundler.anchors import read_trust
from bundler.archive import read_head, spans
from bundler.checks import Reading
from bundler.errors import FerryError, IntegrityError, TrustError
from bundler.model.manifest import Entry, format_manifest, parse_manifest
from bundler.model.service import Service
from bundler.verify import Policy, verify

NOW = datetime(2026, 6, 1, tzinfo=UTC)
POLICY = Policy(trusted=(SIGNER.public,))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "sample.tar"
    path.write_bytes(small_bundle())
    return path


class Collector:
    """A sink that keeps what it was given, and what was confirmed."""

    def __init__(self) -> None:
        self.data: dict[str, bytearray] = {}
        self.finished: list[str] = []

    def write(self, entry: Entry, offset: int, data: memoryview) -> None:
        held = self.data.setdefault(entry.name, bytearray(entry.size))
        held[offset : offset + len(data)] = data

    def finish(self, entry: Entry, count: int) -> None:
        self.finished.append(entry.name)


@pytest.mark.parametrize("algorithm", ["sm3", "sha256"])
def test_a_good_bundle_passes_and_reaches_the_sink(bundle: Path, algorithm: str) -> None:
    sink = Collector()
    verified = verify(bundle, replace(POLICY, algorithm=algorithm), now=NOW, reading=Reading(sink=sink))
    manifest, contents = small_manifest([b"one" * 1000, b"two" * 700, b"three"])
    assert verified.manifest == manifest
    assert {name: bytes(data) for name, data in sink.data.items()} == contents
    assert sorted(sink.finished) == sorted(contents)


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_each_defect_is_refused(tmp_path: Path, defect: Defect) -> None:
    path = tmp_path / "bad.tar"
    path.write_bytes(defect.spoil(small_bundle()))
    with pytest.raises(FerryError) as caught:
        verify(path, defect.policy(), now=NOW)
    assert caught.value.exit_code == defect.exit_code
    assert defect.says in str(caught.value)


def test_the_message_of_a_flipped_bit_says_what_where_and_what_to_do(tmp_path: Path) -> None:
    data = small_bundle()
    manifest = parse_manifest(read_head(io.BytesIO(data)).manifest)
    span = next(one for one in spans(manifest, read_head(io.BytesIO(data)).end) if one.entry.is_blob)
    path = tmp_path / "bad.tar"
    path.write_bytes(DEFECTS[0].spoil(data))
    with pytest.raises(IntegrityError) as caught:
        verify(path, Policy(trusted=POLICY.trusted, algorithm="sha256"), now=NOW)
    flipped = bytes([ord("o") ^ 1]) + (b"one" * 1000)[1:]
    assert str(caught.value) == (
        f'"{span.entry.name}" (file "data/0") at offset {span.data} of "bad.tar": '
        f"expected sha256 {span.entry.sha256}, got {hashlib.sha256(flipped).hexdigest()}"
    )
    assert caught.value.hint == "the medium or the copy is damaged, or someone changed it: carry the bundle again"


def test_all_damage_is_listed_in_one_pass(tmp_path: Path) -> None:
    data = bytearray(small_bundle())
    head = read_head(io.BytesIO(bytes(data)))
    blobs = [one for one in spans(parse_manifest(head.manifest), head.end) if one.entry.is_blob]
    for span in blobs:
        data[span.data] ^= 1
    path = tmp_path / "bad.tar"
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="3 places are damaged") as caught:
        verify(path, POLICY, now=NOW)
    assert [span.entry.name in str(caught.value) for span in blobs] == [True] * 3


@pytest.mark.parametrize("algorithm", ["sm3", "sha256"])
def test_damage_in_a_large_blob_is_named_by_its_chunk(tmp_path: Path, algorithm: str) -> None:
    large = bytes(65 * 1024 * 1024)
    data = bytearray(packed(*small_manifest([large])))
    head = read_head(io.BytesIO(bytes(data)))
    span = next(one for one in spans(parse_manifest(head.manifest), head.end) if one.entry.is_blob)
    data[span.data + 40 * 1024 * 1024] ^= 1
    path = tmp_path / "bad.tar"
    path.write_bytes(data)
    with pytest.raises(IntegrityError) as caught:
        verify(path, replace(POLICY, algorithm=algorithm), now=NOW)
    at = 32 * 1024 * 1024
    assert str(caught.value).startswith(
        f'"{span.entry.name}" (file "data/0") from byte {at} on at offset {span.data + at} of "bad.tar": '
        f"expected sm3 {span.entry.chunks[2]}, got "
    )


def test_a_defective_entry_is_never_confirmed_to_the_sink(tmp_path: Path) -> None:
    path = tmp_path / "bad.tar"
    path.write_bytes(DEFECTS[0].spoil(small_bundle()))
    sink = Collector()
    with pytest.raises(IntegrityError):
        verify(path, POLICY, now=NOW, reading=Reading(sink=sink))
    bad = next(one for one in small_manifest([b"one" * 1000])[0].entries if one.is_blob)
    assert bad.name not in sink.finished


def test_an_expired_bundle_is_refused_unless_accepted(bundle: Path) -> None:
    later = datetime(2031, 1, 1, tzinfo=UTC)
    with pytest.raises(TrustError) as caught:
        verify(bundle, POLICY, now=later)
    assert str(caught.value) == (
        "ferry.json: expires: the bundle expired at 2030-01-01T00:00:00Z, it is 2031-01-01T00:00:00Z"
    )
    verify(bundle, replace(POLICY, accept_expired=True), now=later)


def test_any_of_several_trusted_keys_will_do(bundle: Path) -> None:
    verified = verify(bundle, Policy(trusted=(STRANGER.public, SIGNER.public)), now=NOW)
    assert verified.key == SIGNER.public


def test_no_trusted_key_at_all_is_refused(bundle: Path) -> None:
    with pytest.raises(TrustError, match="expected a signature by a trusted key"):
        verify(bundle, Policy(trusted=()), now=NOW)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"entries": lambda e: e[1:]}, "expected install.sh, sbom.cdx.json, oci-layout, index.json first"),
        ({"entries": lambda e: (*e, e[-1])}, "a blob is listed twice"),
        ({"entries": lambda e: (*e[:-1], replace(e[-1], name="blobs/sha256/../../x"))}, "expected blobs/sha256/"),
        ({"entries": lambda e: e[:-1]}, 'no entry carries "data/2"'),
        ({"items": lambda i: (replace(i[0], to="../etc"), *i[1:])}, 'expected a relative path, got "../etc"'),
    ],
)
def test_a_signed_but_impossible_manifest_is_refused(change: dict[str, object], says: str) -> None:
    manifest, _ = small_manifest([b"one" * 1000, b"two" * 700, b"three"])
    changed = {name: make(getattr(manifest, name)) for name, make in change.items()}  # type: ignore[operator]
    with pytest.raises(IntegrityError) as caught:
        parse_manifest(format_manifest(replace(manifest, **changed)))
    assert says in str(caught.value)


def test_a_signed_service_cannot_add_lines_to_its_unit() -> None:
    service = Service(name="a", description="x", run=("python",), directory="srv", port=80, ready="/")
    for change in ({"description": "x\nExecStartPre=/bin/evil"}, {"run": ("a\nb",)}, {"environment": (("A", "b\nc"),)}):
        manifest, _ = small_manifest([], services=(replace(service, **change),))
        with pytest.raises(IntegrityError, match="a control character stands in one"):
            parse_manifest(format_manifest(manifest))


def test_a_manifest_of_another_format_says_so() -> None:
    data = format_manifest(small_manifest([])[0]).replace(b"ferry/bundle/v2", b"ferry/bundle/v9")
    with pytest.raises(IntegrityError) as caught:
        parse_manifest(data)
    assert str(caught.value) == 'format: expected "ferry/bundle/v2", got "ferry/bundle/v9"'


def test_fields_of_a_later_ferry_are_allowed() -> None:
    manifest, _ = small_manifest([b"x"])
    data = format_manifest(manifest).replace(b'"format"', b'"later": {"a": 1},\n "format"', 1)
    assert parse_manifest(data) == manifest


def test_tar_and_openssl_read_the_head_as_the_readme_shows(bundle: Path, tmp_path: Path) -> None:
    subprocess.run(
        ["tar", "--occurrence=1", "-xf", bundle, "ferry.json", "ferry.json.sig", "install.sh"], cwd=tmp_path, check=True
    )
    (tmp_path / "pub.pem").write_text(SIGNER.public.pem())
    done = subprocess.run(
        [
            "openssl",
            "dgst",
            "-sm3",
            "-verify",
            "pub.pem",
            "-sigopt",
            "distid:1234567812345678",
            "-signature",
            "ferry.json.sig",
            "ferry.json",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    if "Unknown" in done.stderr or "unsupported" in done.stderr:
        pytest.skip("this openssl was built without SM2")
    assert (done.returncode, done.stdout) == (0, "Verified OK\n")


def test_other_programs_read_every_entry(bundle: Path) -> None:
    manifest, contents = small_manifest([b"one" * 1000, b"two" * 700, b"three"])
    with tarfile.open(bundle) as tar:
        assert tar.getnames()[4:] == [one.name for one in manifest.entries]
        assert {name: tar.extractfile(name).read() for name in contents} == contents  # type: ignore[union-attr]
    listed = subprocess.run(["tar", "-tf", bundle], capture_output=True, text=True, check=True)
    assert listed.stdout.split()[4:] == [one.name for one in manifest.entries]
    assert listed.stderr == ""


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError) as caught:
        verify(tmp_path / "none.tar", POLICY, now=NOW)
    assert str(caught.value) == f"{tmp_path / 'none.tar'}: the bundle cannot be read: No such file or directory"
    (tmp_path / "pub.pem").write_text("no key")
    with pytest.raises(
        TrustError, match=r"expected a public key \(PEM\), an SM2 root certificate or a root document: "
    ):
        read_trust(tmp_path / "pub.pem")


def test_no_file_handle_is_left_open(bundle: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    verify(bundle, POLICY, now=NOW)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
