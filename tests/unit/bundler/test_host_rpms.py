"""RPM packages for the isolated host: in the recipe, in the lock, and the repositories that a user configures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from bundler.dnf import Dnf
from bundler.errors import RecipeError, ResolveError
from bundler.load import format_lock, read_lock, read_recipe
from bundler.model.platform import PLATFORMS
from bundler.model.purl import rpm_purl
from bundler.model.rpm import LockedRpm, LockedRpmKey, RpmSource
from bundler.repositories import Repository, read_repositories
from bundler.resolve.rpm import resolve_rpms
from bundler.target.find import find_target

HELLO = Path(__file__).resolve().parents[3] / "recipes/hello"
JQ = LockedRpm(
    release="openeuler-22.03-lts-sp3",
    repository="OS",
    name="jq",
    version="1:1.6-2.oe2203sp3",
    architecture="x86_64",
    path="Packages/jq-1.6-2.oe2203sp3.x86_64.rpm",
    size=7,
    sha256="a" * 64,
    platform=PLATFORMS[0],
)
KEY = LockedRpmKey(
    repository="OS",
    text="-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQENBGsD39cB\n=Q0Fw\n-----END PGP PUBLIC KEY BLOCK-----\n",
)
HINT = (
    "put .repo files into a directory called as the release, and name the directory above it in FERRY_RPM_REPOSITORIES"
)


def recipe_with(tmp_path: Path, rpms: object, **more: object) -> Path:
    document: dict[str, Any] = yaml.safe_load((HELLO / "recipe.yaml").read_text())
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(document | {"rpms": rpms} | more))
    return path


def test_a_recipe_names_a_release_and_packages(tmp_path: Path) -> None:
    path = recipe_with(tmp_path, [{"release": "openeuler-22.03", "packages": ["jq", "gcc-c++", "NetworkManager"]}])
    assert read_recipe(path).rpms == (
        RpmSource(release="openeuler-22.03", packages=("jq", "gcc-c++", "NetworkManager")),
    )
    assert read_recipe(HELLO).rpms == ()


@pytest.mark.parametrize(
    ("rpms", "refusal"),
    [
        ([{"release": "kylin-v10"}], "rpms[0].packages: expected a list, the field is missing"),
        ([{"packages": ["jq"]}], "rpms[0].release: expected text, the field is missing"),
        (
            [{"release": "../etc", "packages": ["jq"]}],
            "rpms[0].release: expected a release of a distribution in lower case, such as "
            '"openeuler-22.03", got "../etc"',
        ),
        ([{"release": "kylin-v10", "packages": []}], "rpms[0].packages: expected at least one package, got none"),
        (
            [{"release": "kylin-v10", "packages": ["jq", "--nogpgcheck"]}],
            'rpms[0].packages[1]: expected the name of an RPM package, got "--nogpgcheck"',
        ),
        (
            [{"release": "kylin-v10", "packages": ["@core"]}],
            'rpms[0].packages[0]: expected the name of an RPM package, got "@core"',
        ),
        (
            [{"release": "kylin-v10", "packages": ["jq*"]}],
            'rpms[0].packages[0]: expected the name of an RPM package, got "jq*"',
        ),
        ([{"release": "kylin-v10", "packages": ["jq"], "force": True}], "rpms[0].force: unknown field"),
        (
            [{"release": "kylin-v10", "packages": ["jq"]}, {"release": "openeuler-22.03", "packages": ["jq"]}],
            "rpms: expected one release, got kylin-v10, openeuler-22.03",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, rpms: object, refusal: str) -> None:
    with pytest.raises(RecipeError) as refused:
        read_recipe(recipe_with(tmp_path, rpms))
    assert str(refused.value) == refusal


def test_a_host_takes_debs_or_rpms(tmp_path: Path) -> None:
    debs = [{"suite": "bookworm", "packages": ["jq"]}]
    with pytest.raises(RecipeError) as refused:
        read_recipe(recipe_with(tmp_path, [{"release": "kylin-v10", "packages": ["jq"]}], debs=debs))
    assert str(refused.value) == "rpms: expected debs or rpms, got both"


def test_a_lock_comes_back_as_it_was_written(tmp_path: Path) -> None:
    plain = read_lock(HELLO)
    path = tmp_path / "recipe.lock.yaml"
    path.write_text(format_lock(replace(plain, rpms=(JQ,), rpm_keys=(KEY,))))
    lock = read_lock(path)
    assert (lock.rpms, lock.rpm_keys) == ((JQ,), (KEY,))
    assert replace(lock, rpms=(), rpm_keys=(), sha256=plain.sha256, sm3=plain.sm3) == plain


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"name": "-o"}, 'rpms[0].name: expected the name of an RPM package, got "-o"'),
        (
            {"version": "1.6"},
            'rpms[0].version: expected [EPOCH:]VERSION-RELEASE of an RPM package, got "1.6"',
        ),
        ({"path": "../jq.rpm"}, 'rpms[0].path: expected a relative path, got "../jq.rpm"'),
        ({"repository": "a b"}, 'rpms[0].repository: expected the id of a repository, got "a b"'),
        ({"sha256": "0"}, "rpms[0].sha256: expected 64 lower-case hex digits for sha256, got 1 characters"),
    ],
)
def test_a_lock_that_was_edited_is_refused(tmp_path: Path, change: dict[str, str], refusal: str) -> None:
    path = tmp_path / "recipe.lock.yaml"
    document = yaml.safe_load(format_lock(replace(read_lock(HELLO), rpms=(JQ,), rpm_keys=(KEY,))))
    document["rpms"][0] |= change
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(RecipeError) as refused:
        read_lock(path)
    assert str(refused.value) == refusal


def test_a_key_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "recipe.lock.yaml"
    path.write_text(format_lock(replace(read_lock(HELLO), rpms=(JQ,), rpm_keys=(replace(KEY, text="trust me\n"),))))
    with pytest.raises(RecipeError) as refused:
        read_lock(path)
    assert str(refused.value) == "rpm_keys[0].lines: expected the lines of a public key of OpenPGP in ASCII"


def test_names_are_those_of_rpm() -> None:
    assert JQ.file_name == "jq-1.6-2.oe2203sp3.x86_64.rpm"
    assert rpm_purl(JQ) == ("pkg:rpm/openeuler/jq@1.6-2.oe2203sp3?arch=x86_64&distro=openeuler-22.03-lts-sp3&epoch=1")


def test_hosts_that_take_no_rpms_are_refused_before_anything_is_asked() -> None:
    sources = (RpmSource(release="openeuler-22.03-lts-sp3", packages=("jq",)),)
    with pytest.raises(ResolveError) as refused:
        resolve_rpms(sources, PLATFORMS, (find_target("debian-13/amd64"),))
    assert str(refused.value) == "rpms: expected a host with rpm, debian-13/amd64 has apt"
    with pytest.raises(ResolveError) as refused:
        resolve_rpms(sources, PLATFORMS, (find_target("kylin-v10-sp3/amd64"),))
    assert str(refused.value) == (
        'rpms.release: expected a host of "openeuler-22.03-lts-sp3", kylin-v10-sp3/amd64 is of "kylin-v10"'
    )
    assert resolve_rpms((), PLATFORMS, (find_target("debian-13/amd64"),)).rpms == ()


@pytest.mark.parametrize(
    ("release", "target"),
    [("openeuler-22.03", "openeuler-22.03/arm64"), ("kylin-v10-sp3", "kylin-v10-sp3/amd64")],
)
def test_hosts_of_the_release_are_taken(release: str, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FERRY_RPM_REPOSITORIES", raising=False)
    with pytest.raises(ResolveError) as refused:
        resolve_rpms((RpmSource(release=release, packages=("jq",)),), PLATFORMS, (find_target(target),))
    assert str(refused.value) == f"rpms: expected .repo files for {release}, FERRY_RPM_REPOSITORIES is not set"
    assert refused.value.hint == HINT


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FERRY_RPM_REPOSITORIES", str(tmp_path))
    (tmp_path / "kylin-v10").mkdir()
    return tmp_path / "kylin-v10"


GOOD = "baseurl=https://mirror.example/$basearch/os\ngpgkey=file:///etc/key\n"


def test_repositories_are_read_from_the_files_of_dnf(directory: Path) -> None:
    (directory / "b.repo").write_text(
        "[updates]\nname=Updates\nbaseurl = https://mirror.example/${basearch}/up/\n  http://other.example/up\n"
        "metalink=https://elsewhere.example/\nenabled=1\ngpgcheck=yes\nrepo_gpgcheck=1\npriority=5\n"
        "gpgkey=https://mirror.example/key-a, file:///etc/key-b\nexcludepkgs=kernel*,\n  jq\n"
        "[off]\nenabled=0\n"
    )
    (directory / "a.repo").write_text(f"[main]\nkeepcache=1\n[base]\n{GOOD}")
    assert read_repositories("kylin-v10", "aarch64") == (
        Repository(
            name="base", bases=("https://mirror.example/aarch64/os/",), keys=("file:///etc/key",), is_signed=False
        ),
        Repository(
            name="updates",
            bases=("https://mirror.example/aarch64/up/", "http://other.example/up/"),
            keys=("https://mirror.example/key-a", "file:///etc/key-b"),
            is_signed=True,
            options=(("name", "Updates"), ("priority", "5"), ("excludepkgs", "kernel*, jq")),
        ),
    )


@pytest.mark.parametrize(
    ("text", "refusal", "hint"),
    [
        (
            f"[a]\n{GOOD}gpgcheck=0\n",
            "a.repo: [a]: gpgcheck: expected 1, got 0: packages that nobody signed go into no bundle",
            "sign them with rpmsign and name the key in gpgkey; if nobody can: --allow-packages-that-nobody-signed a",
        ),
        (
            f"[a]\n{GOOD}gpgcheck=maybe\n",
            'a.repo: [a]: gpgcheck: expected 1 or 0, got "maybe"',
            None,
        ),
        (
            "[a]\nbaseurl=https://mirror.example/\n",
            "a.repo: [a]: expected a gpgkey, got none",
            "name the distribution's key: gpgkey=file:///...",
        ),
        (
            "[a]\nbaseurl=https://mirror.example/\ngpgkey=http://mirror.example/key\n",
            'a.repo: [a]: gpgkey: expected https or file, got "http://mirror.example/key"',
            "a key that came unprotected proves nothing",
        ),
        (
            "[a]\nmirrorlist=https://mirror.example/\ngpgkey=file:///key\n",
            "a.repo: [a]: expected a baseurl, got none",
            "a list of mirrors may change: name one of them",
        ),
        (
            "[a]\nbaseurl=ftp://mirror.example/\ngpgkey=file:///key\n",
            'a.repo: [a]: baseurl: expected https, http or file, got "ftp://mirror.example/"',
            None,
        ),
        (
            "[a]\nbaseurl=https://mirror.example/$releasever/\ngpgkey=file:///key\n",
            'a.repo: [a]: baseurl: expected a whole URL, got the variable "releasever"',
            "write its value: https://mirror.example/$releasever/",
        ),
        (
            f"[a]\n{GOOD}sslverify=0\n",
            "a.repo: [a]: sslverify: expected 1, got 0",
            "name the authority's certificate in SSL_CERT_FILE",
        ),
        (
            f"[a]\n{GOOD}password=secret\n",
            "a.repo: [a]: password: repositories that ask who reads them are not supported",
            "mirror it without",
        ),
        (f"[a b]\n{GOOD}", "a.repo: [a b]: expected an id of letters, digits, dots, colons and hyphens", None),
        ("baseurl=x\n", "a.repo: expected a .repo file: File contains no section headers.", None),
        ("[a]\nenabled=0\n", ": expected an enabled repository for kylin-v10, got none", None),
    ],
)
def test_repositories_that_prove_nothing_are_refused(
    directory: Path, text: str, refusal: str, hint: str | None
) -> None:
    (directory / "a.repo").write_text(text)
    with pytest.raises(ResolveError) as refused:
        read_repositories("kylin-v10", "x86_64")
    assert str(refused.value) == f"{directory}{'' if refusal[0] == ':' else '/'}{refusal}"
    assert refused.value.hint == hint
    assert "secret" not in str(refused.value)


def test_a_repository_stands_once(directory: Path) -> None:
    for name in ("a.repo", "b.repo"):
        (directory / name).write_text(f"[a]\n{GOOD}")
    with pytest.raises(ResolveError) as refused:
        read_repositories("kylin-v10", "x86_64")
    assert str(refused.value) == f"{directory}/b.repo: [a]: it stands twice"


def test_a_release_without_repositories_is_refused(directory: Path) -> None:
    with pytest.raises(ResolveError) as refused:
        read_repositories("kylin-v10", "x86_64")
    assert str(refused.value) == f"rpms: expected .repo files for kylin-v10, {directory} has none"
    assert refused.value.hint == HINT


def test_a_builder_without_dnf_4_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(ResolveError) as refused:
        Dnf(tmp_path / "one", "x86_64", (), ())
    assert str(refused.value) == "rpms: expected dnf and rpm, this host lacks them"
    assert refused.value.hint == "install dnf, rpm and createrepo_c (on Debian: dnf, rpm, createrepo-c)"
    for name in ("dnf", "rpmdb"):
        (programs / name).write_bytes(b"\x7fELF\x02\x01")
        (programs / name).chmod(0o755)
    with pytest.raises(ResolveError) as refused:
        Dnf(tmp_path / "two", "x86_64", (), ())
    assert str(refused.value) == f'rpms: expected dnf 4, which is a program of Python, "{programs}/dnf" is none'
