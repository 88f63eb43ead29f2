"""Files by glob, from outside and by URL: from recipe to lock to store."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command import CHECKOUT
from mirror import Answer, Mirror
from values import lock

from bundler.errors import FerryError, IntegrityError, RecipeError, ResolveError, TransferError
from bundler.fetch import fetch
from bundler.load import format_lock, read_lock
from bundler.model.document import Fields
from bundler.model.files import FileSource, LockedPath, file_source, locked_path
from bundler.model.platform import PLATFORMS
from bundler.model.progress import Silent
from bundler.resolve.digests import REMEMBERED_ABOVE_BYTES, Digests
from bundler.resolve.file import resolve_files
from bundler.resolve.length import content_length
from bundler.store import Store
from bundler.transport import Transport

HEX = hashlib.sha256(b"model").hexdigest()
URL = "https://host.example/model.bin"
LOGIN = "give the login where the builder keeps it, such as a mirror or proxy of its own"


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with Mirror() as served:
        yield served


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "recipe"
    for name in ("conf/a.toml", "conf/b.toml", "conf/c.txt", "conf/deep/d.toml", "conf/__pycache__/e.toml"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def source(**given: object) -> FileSource:
    fields = Fields({"to": "srv/x", **given}, place="files[0]", error=RecipeError)
    parsed = file_source(fields)
    fields.close()
    return parsed


def refused(work: Callable[[], object], kind: type[FerryError] = RecipeError) -> tuple[str, str | None]:
    with pytest.raises(kind) as caught:
        work()
    return str(caught.value), caught.value.hint


def pairs(files: tuple[LockedPath, ...]) -> list[tuple[str, str]]:
    return [(file.path, file.to) for file in files]


def test_every_kind_of_a_source() -> None:
    assert source(path="a") == FileSource(path="a", to="srv/x")
    assert source(path="/d//a", outside=True) == FileSource(path="/d/a", to="srv/x", outside=True)
    assert source(path="a", shared=True) == FileSource(path="a", to="srv/x", shared=True)
    assert source(weights="/d", image=True) == FileSource(path="/d", to="srv/x", weights=True, image=True)
    expected = FileSource(url=URL, to="srv/x", sha256=HEX, size=5, executable=True, purl="pkg:generic/m@1")
    assert source(url=URL, sha256=HEX, size=5, executable=True, purl="pkg:generic/m@1") == expected


PURL = "such as pkg:huggingface/OWNER/NAME@REVISION, got"
SHAPE = "url: expected a URL https://HOST/PATH, http://HOST/PATH or file:///PATH"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"path": "a", "url": URL}, 'url: expected one of path, url, weights, "path" is there too'),
        ({"url": URL, "weights": "m"}, 'weights: expected one of path, url, weights, "url" is there too'),
        ({}, "path: expected text, the field is missing"),
        ({"path": "/d/a"}, 'path: expected a relative path, got "/d/a"'),
        ({"path": "a", "outside": True}, 'path: expected an absolute path, got "a"'),
        ({"path": "/d/../a", "outside": True}, 'path: expected an absolute path, got "/d/../a"'),
        ({"path": "a/../../x", "shared": True}, 'path: expected a relative path, got "a/../../x"'),
        ({"path": "/a", "shared": True}, 'path: expected a relative path, got "/a"'),
        (
            {"path": "/a", "shared": True, "outside": True},
            'shared: expected one of outside, shared, "outside" is there too',
        ),
        ({"path": "/", "outside": True}, 'path: expected an absolute path, got "/"'),
        ({"path": "a/**.toml"}, 'path: expected "**" as a whole directory, got "a/**.toml"'),
        ({"weights": "../m"}, 'weights: expected a relative path, got "../m"'),
        ({"weights": "m", "outside": True}, "outside: unknown field"),
        ({"weights": "m", "pickles": "yes"}, 'pickles: expected refuse, skip or carry, got "yes"'),
        ({"path": "m", "pickles": "skip"}, "pickles: unknown field"),
        ({"path": "a", "sha256": HEX}, "sha256: unknown field"),
        ({"path": "a", "purl": "x"}, f'purl: expected a purl {PURL} "x"'),
        ({"path": "a", "purl": "pkg:generic/x"}, f'purl: expected a purl with its version, {PURL} "pkg:generic/x"'),
        ({"url": URL}, "sha256: expected text, the field is missing"),
        ({"url": "ftp://h/x", "sha256": HEX}, SHAPE),
        ({"url": "https://h/", "sha256": HEX}, SHAPE),
        ({"url": "file://h/x", "sha256": HEX}, SHAPE),
        ({"url": "https://[h/x", "sha256": HEX}, 'url: expected a URL, got "https://[h/x"'),
        ({"url": "https://h/x y", "sha256": HEX}, 'url: expected a URL of printable ASCII, got "https://h/x y"'),
        ({"url": "https://h/x#y", "sha256": HEX}, "url: expected a URL without a fragment"),
        ({"url": "https://u:secret@h/x", "sha256": HEX}, "url: expected a URL without user and password"),
        ({"url": "https://h/x?token=s", "sha256": HEX}, 'url: expected a URL without credentials, "token" is one'),
        (
            {"url": "https://h/x?a=1&X-Amz-Signature=s", "sha256": HEX},
            'url: expected a URL without credentials, "X-Amz-Signature" is one',
        ),
    ],
)
def test_what_a_recipe_may_not_say(given: dict[str, object], says: str) -> None:
    message, hint = refused(lambda: source(**given))
    assert message == f"files[0].{says}"
    assert "secret" not in message
    assert (hint == LOGIN) == ("user and password" in says or "credentials" in says)


def test_a_lock_names_one_place() -> None:
    document = {"path": "a", "url": URL, "to": "x", "size": 1, "sha256": HEX}
    fields = Fields(document, place="files[0]", error=RecipeError)
    says = 'files[0].url: expected one of path, url, "path" is there too'
    assert refused(lambda: locked_path(fields))[0] == says


def test_a_lock_is_read_as_it_was_written(tmp_path: Path) -> None:
    plain: dict[str, Any] = {"size": 5, "sha256": HEX, "executable": False}
    files = (
        LockedPath(path="", url=URL, to="a", **plain),
        LockedPath(path="/d/m", to="b", image=False, purl="pkg:huggingface/o/n@1", **plain),
        LockedPath(path="c", to="c", **plain),
    )
    (tmp_path / "recipe.lock.yaml").write_text(format_lock(lock(*files)))
    assert read_lock(tmp_path).files == files


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("conf/*.toml", ["a.toml", "b.toml"]),
        ("conf/[bc].*", ["b.toml", "c.txt"]),
        ("conf/**/*.toml", ["a.toml", "b.toml", "deep/d.toml"]),
        ("conf/*/d.toml", ["deep/d.toml"]),
    ],
)
def test_a_glob_names_files_below_its_last_plain_directory(pattern: str, names: list[str], tree: Path) -> None:
    expected = [(f"conf/{name}", f"srv/conf/{name}") for name in names]
    assert pairs(resolve_files((FileSource(path=pattern, to="srv/conf"),), tree)) == expected
    outside = FileSource(path=f"{tree}/{pattern}", to="srv/conf", outside=True)
    assert pairs(resolve_files((outside,), Path("/x"))) == [(f"{tree}/{path}", to) for path, to in expected]


def test_a_glob_that_names_nothing_or_a_link_is_refused(tree: Path) -> None:
    def resolve(pattern: str) -> tuple[str, str | None]:
        return refused(lambda: resolve_files((FileSource(path=pattern, to="x"),), tree))

    assert resolve("conf/*.json")[0] == 'files[0].path: expected files, nothing is like "conf/*.json"'
    (tree / "conf/l.ini").symlink_to("a.toml")
    assert resolve("conf/*.ini")[0] == 'files[0].path: expected regular files, "conf/l.ini" is a link or special file'
    (tree / "link").symlink_to("conf")
    assert resolve("link/*.txt")[0] == 'files[0].path: "link/c.txt" leads through a link'
    assert resolve("l*/c.txt")[0] == 'files[0].path: "link/c.txt" leads through a link'


def test_a_directory_outside_is_locked_by_its_absolute_path(tree: Path) -> None:
    files = resolve_files((FileSource(path=f"{tree}/conf/deep", to="srv/d", outside=True),), Path("/nonexistent"))
    assert pairs(files) == [(f"{tree}/conf/deep/d.toml", "srv/d/d.toml")]
    # The bundle says nothing of the builder's directories.
    assert files[0].name == "srv/d/d.toml"


def test_recipes_share_what_stands_beside_their_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shared/agent").mkdir(parents=True)
    (tmp_path / "shared/agent/a.py").write_text("a")
    (tmp_path / "one").mkdir()
    sources = (FileSource(path="agent", to="srv/x", shared=True),)
    files = resolve_files(sources, tmp_path / "one")
    assert [(file.path, file.shared, file.name) for file in files] == [("agent/a.py", True, "shared/agent/a.py")]
    assert files[0].below(tmp_path / "one").read_text() == "a"
    monkeypatch.chdir(tmp_path / "one")
    assert resolve_files(sources, Path()) == files
    assert resolve_files((replace(sources[0], path="agent/*.py"),), Path()) == files
    (tmp_path / "recipe.lock.yaml").write_text(format_lock(replace(lock(), files=files)))
    assert read_lock(tmp_path).files == files

    (tmp_path / "shared/agent/link").symlink_to(tmp_path / "one")
    message, _ = refused(lambda: resolve_files(sources, tmp_path / "one"))
    assert message == 'files[0].path: expected regular files, "agent/link" is a link or special file'
    message, _ = refused(lambda: resolve_files((replace(sources[0], path="none"),), tmp_path / "one"))
    assert message == 'files[0].path: expected a file or directory, "none" is not there'


def test_large_files_are_not_read_again_until_they_change(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(REMEMBERED_ABOVE_BYTES + 1))

    def measured() -> tuple[str, int]:
        stages: list[int] = []
        progress = Silent()
        progress.start = lambda stage, total: stages.append(total)  # type: ignore[method-assign]
        digest = Digests(tmp_path / "store", progress).measure([large])[0].sha256
        assert stages == [REMEMBERED_ABOVE_BYTES + 1]
        return digest, len(list((tmp_path / "store/derived").iterdir()))

    first = measured()
    assert first == (hashlib.sha256(large.read_bytes()).hexdigest(), 1)
    remembered = next((tmp_path / "store/derived").iterdir())
    remembered.write_text('{"sha256": "from memory"}')
    assert measured() == ("from memory", 1)
    with large.open("r+b") as stream:
        stream.write(b"x")
    os.utime(large, ns=(0, 0))
    assert measured() == (hashlib.sha256(large.read_bytes()).hexdigest(), 2)


def test_a_store_that_cannot_be_made_is_no_matter(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(REMEMBERED_ABOVE_BYTES + 1))
    (tmp_path / "file").touch()
    assert Digests(tmp_path / "file/store").measure([large])[0].size == REMEMBERED_ABOVE_BYTES + 1


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    says = f"{tmp_path / 'no'}: the file cannot be read: No such file or directory"
    assert refused(lambda: Digests().measure([tmp_path / "no"]))[0] == says


def by_url(url: str, **changes: Any) -> FileSource:
    return FileSource(**{"url": url, "to": "srv/m", "sha256": HEX, **changes})


def test_the_size_behind_a_url_is_what_its_server_says(mirror: Mirror, tmp_path: Path) -> None:
    url = mirror.serve("/m", Answer(body=b"model"))
    transport = Transport()
    files = resolve_files((by_url(url),), tmp_path, length=lambda one: content_length(one, transport))
    assert files == (LockedPath(path="", url=url, to="srv/m", size=5, sha256=HEX, executable=False),)
    assert resolve_files((by_url(url),), tmp_path, before=files) == files
    assert resolve_files((by_url(url, size=6),), tmp_path, before=files)[0].size == 6
    assert resolve_files((by_url(url),), tmp_path)[0].size == -1
    assert len(mirror.asked) == 1
    # A size that was wrong in an older lock does not stay.
    old = (replace(files[0], size=6),)
    asked = resolve_files((by_url(url),), tmp_path, before=old, length=lambda one: content_length(one, transport))
    assert asked == files


def test_a_server_that_does_not_say_is_refused(mirror: Mirror, tmp_path: Path) -> None:
    odd = mirror.serve("/odd", Answer(body=b"model", headers={"Content-Length": ""}, cut=5))
    says = f"{odd}: expected a Content-Length, its server gives none"
    assert refused(lambda: content_length(odd, Transport()), ResolveError) == (
        says,
        "give its size in the recipe, beside sha256",
    )
    url = f"{mirror.url}/no"
    says = f"{url}: expected the file, its server answered 404"
    assert refused(lambda: content_length(url, Transport()), ResolveError)[0] == says
    (tmp_path / "m m").write_bytes(b"model")
    assert content_length(f"file://{tmp_path}/m%20m", Transport()) == 5
    for name, reason in (("no", "expected the file: No such file or directory"), ("", "expected a regular file")):
        url = f"file://{tmp_path}/{name}"
        assert refused(lambda url=url: content_length(url, Transport()), ResolveError)[0] == f"{url}: {reason}"  # type: ignore[misc]


def test_a_cut_download_goes_on_and_wrong_bytes_are_refused(mirror: Mirror, tmp_path: Path) -> None:
    body = os.urandom(3_000_000)
    store = Store(tmp_path / "store")
    url = mirror.serve("/m", Answer(body=body, cut=2_000_000), Answer(body=body))
    digest = hashlib.sha256(body).hexdigest()
    file = LockedPath(path="", url=url, to="srv/m", size=len(body), sha256=digest, executable=False)
    twice = lock(file, replace(file, to="srv/n"))
    for _ in range(2):
        fetch(twice, PLATFORMS[0], store, directory=tmp_path, progress=Silent())
    assert store.read(digest) == body
    assert [one for one in mirror.ranges() if one] == ["bytes=2000000-"]
    bad = replace(file, sha256="0" * 64)
    message, _ = refused(
        lambda: fetch(lock(bad), PLATFORMS[0], store, directory=tmp_path, progress=Silent()), IntegrityError
    )
    assert message == f"{url}: expected {len(body)} bytes with sha256 {'0' * 64}, got {len(body)} bytes with {digest}"
    gone = replace(file, url=f"{mirror.url}/gone", sha256="1" * 64)
    message, _ = refused(
        lambda: fetch(lock(gone), PLATFORMS[0], store, directory=tmp_path, progress=Silent()), TransferError
    )
    assert message == f"srv/m: no source has the file: {mirror.url}/gone: answered 404"


def test_the_build_hashes_what_it_copies(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    (tmp_path / "m").write_bytes(b"other")
    file = LockedPath(path=str(tmp_path / "m"), to="srv/m", size=5, sha256=HEX, executable=False)
    message, hint = refused(lambda: fetch(lock(file), PLATFORMS[0], store, directory=tmp_path, progress=Silent()))
    assert message.startswith(f"{tmp_path / 'm'}: the file is not the one that was locked: expected 5 bytes with")
    assert hint == "lock the recipe again, and review the difference"
    assert not store.has(HEX)


def test_a_large_file_streams_from_lock_to_verify(tmp_path: Path) -> None:
    size = 80 * 1024 * 1024
    with (tmp_path / "large").open("wb") as stream:
        stream.write(os.urandom(1024))
        stream.truncate(size)
    done = subprocess.run(
        [sys.executable, CHECKOUT / "tests/support/stream.py", tmp_path],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "bundle.tar").stat().st_size > size
    peak_kib = int(done.stdout.split()[-1])
    assert peak_kib < 200 * 1024
