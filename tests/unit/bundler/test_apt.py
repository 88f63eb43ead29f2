"""apt with sources of its own: what is not signed, or not by whom it must be, is never taken."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from packages import make_deb

from bundler.apt import Apt
from bundler.errors import ResolveError, StepError
from bundler.model.needs import reasons
from bundler.resolve.python import closure_debs

from bundler.model.platform import PLATFORMS  # isort: skip

HINT = "take trusted=yes and allow-insecure=yes out of that source, and name the archive's key in Signed-By"


@pytest.fixture(autouse=True)
def programs() -> None:
    for program in ("apt-get", "dpkg-deb", "dpkg-scanpackages", "gpg"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An archive of three packages with a Release that nobody signed."""
    root = tmp_path / "archive"
    pool = root / "pool/main"
    pool.mkdir(parents=True)
    for name, depends in (("sample", "libsample (>= 1), virtual"), ("libsample", ""), ("real", "")):
        fields = {"Installed-Size": "12", **({"Depends": depends} if depends else {})}
        fields |= {"Provides": "virtual"} if name == "real" else {}
        shutil.copy(make_deb(tmp_path, name, "1", **fields)[1], pool)
    listed = subprocess.run(["dpkg-scanpackages", "pool"], cwd=root, capture_output=True, check=True).stdout
    (root / "Packages").write_bytes(listed)
    digest = hashlib.sha256(listed).hexdigest()
    now = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S UTC")
    (root / "Release").write_text(
        f"Origin: Test\nCodename: bookworm\nDate: {now}\nArchitectures: amd64\n"
        f"SHA256:\n {digest} {len(listed)} Packages\n"
    )
    return root


def sign(root: Path, home: Path) -> Path:
    """Sign the Release as InRelease with a new key; return the key."""
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", home, "--batch", "--pinentry-mode", "loopback", "--passphrase", ""]
    subprocess.run([*gpg, "--quick-gen-key", "archive", "ed25519"], check=True, capture_output=True, timeout=60)
    subprocess.run([*gpg, "--yes", "--clearsign", "-o", root / "InRelease", root / "Release"], check=True, timeout=60)
    key = home / "archive.gpg"
    subprocess.run([*gpg, "--export", "-o", key], check=True, timeout=60)
    return key


def apt(tmp_path: Path, source: str, name: str = "own.list", extra: str = "") -> Apt:
    """Return apt with one source alone, as if the host were configured so."""
    (tmp_path / name).write_text(source + "\n")
    (tmp_path / "state").mkdir()
    made = Apt(tmp_path / "state", "amd64")
    parts, one = ("/dev/null", tmp_path / name) if name.endswith(".list") else (tmp_path / "parts", "/dev/null")
    if name.endswith(".sources"):
        (tmp_path / "parts").mkdir()
        shutil.move(tmp_path / name, tmp_path / "parts" / name)
    with (tmp_path / "state/apt.conf").open("a") as stream:
        stream.write(f'Dir::Etc::sourcelist "{one}";\nDir::Etc::sourceparts "{parts}";\n{extra}')
    return made


def test_a_signed_archive_says_why_each_package_is_there(archive: Path, tmp_path: Path) -> None:
    key = sign(archive, tmp_path / "home")
    source = apt(tmp_path, f"deb [signed-by={key}] file:{archive} ./")
    source.update()
    debs = closure_debs(source, ("sample",), PLATFORMS[0], "bookworm")
    assert [(deb.name, deb.why, deb.installed_bytes) for deb in sorted(debs, key=lambda deb: deb.name)] == [
        ("libsample", ("sample",), 12288),
        ("real", ("sample",), 12288),
        ("sample", ("sample",), 12288),
    ]


def test_an_unsigned_archive_is_refused(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(StepError) as refused:
        apt(tmp_path, f"deb file:{archive} ./").update()
    assert f"The repository 'file:{archive} ./ Release' is not signed." in str(refused.value)


def test_what_the_host_allows_itself_does_not_count(archive: Path, tmp_path: Path) -> None:
    allowed = 'Acquire::AllowInsecureRepositories "true";\nAPT::Get::AllowUnauthenticated "true";\n'
    with pytest.raises(StepError) as refused:
        apt(tmp_path, f"deb file:{archive} ./", extra=allowed).update()
    assert f"The repository 'file:{archive} ./ Release' is not signed." in str(refused.value)


@pytest.mark.parametrize("spoilt", ["InRelease", "Packages", "key"])
def test_a_changed_archive_is_refused(archive: Path, tmp_path: Path, spoilt: str) -> None:
    key = sign(archive, tmp_path / "home")
    if spoilt == "key":
        key = sign(archive, tmp_path / "other")
        sign(archive, tmp_path / "third")
    else:
        text = (archive / spoilt).read_text()
        (archive / spoilt).write_text(text.replace("Origin: Test", "Origin: Tess").replace("libsample", "libsampel"))
    with pytest.raises(StepError):
        apt(tmp_path, f"deb [signed-by={key}] file:{archive} ./").update()


@pytest.mark.parametrize("option", ["trusted=yes", "arch=amd64 trusted=1", "allow-insecure=yes"])
def test_a_source_that_the_host_takes_on_trust_is_refused(archive: Path, tmp_path: Path, option: str) -> None:
    source = apt(tmp_path, f"deb [{option}] file:{archive} ./")
    source.update()
    with pytest.raises(ResolveError) as refused:
        source.closure(("sample",))
    assert str(refused.value) == (
        f"{tmp_path / 'own.list'}:1: expected packages of a signed archive, file:{archive}/ is none"
    )
    assert refused.value.hint == HINT


def test_a_stanza_that_the_host_takes_on_trust_is_refused(archive: Path, tmp_path: Path) -> None:
    stanza = f"# first\nTypes: deb\nURIs: file:{archive}\nSuites: ./\nTrusted: yes\n"
    source = apt(tmp_path, stanza, "own.sources")
    source.update()
    with pytest.raises(ResolveError) as refused:
        source.closure(("sample",))
    assert refused.value.message == f"expected packages of a signed archive, file:{archive}/ is none"


def test_a_signed_archive_that_is_also_taken_on_trust_is_refused(archive: Path, tmp_path: Path) -> None:
    key = sign(archive, tmp_path / "home")
    source = apt(tmp_path, f"deb [signed-by={key} trusted=yes] file:{archive} ./")
    source.update()
    with pytest.raises(ResolveError):
        source.closure(("sample",))


def test_reasons_go_through_alternatives_provides_and_circles() -> None:
    control = {
        "app": {"Depends": "lib (>= 1:2.0) | other, mail-agent, missing", "Pre-Depends": "base:any"},
        "lib": {"Depends": "app"},
        "base": {},
        "mta": {"Provides": "mail-agent (= 1), x"},
        "tool": {"Depends": "base <!nocheck>"},
        "newer": {"Breaks": "base"},
    }
    assert reasons(control, ("app", "tool", "gone")) == {
        "app": ("app",),
        "lib": ("app",),
        "base": ("app", "tool"),
        "mta": ("app",),
        "tool": ("tool",),
        "newer": (),
    }
