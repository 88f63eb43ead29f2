"""What is written comes back; what is hostile raises one kind of error and touches nothing."""

import contextlib
import gzip
import hashlib
import io
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from artifacts import link, make_tar
from clock import StillClock
from hypothesis import given, settings
from hypothesis import strategies as st
from mirror import Answer, Mirror

from bundler.errors import IntegrityError, RecipeError
from bundler.load import format_lock, read_lock, read_recipe
from bundler.model.deb import LockedDeb
from bundler.model.descriptor import OCTETS
from bundler.model.document import Fields
from bundler.model.driver import FILE, VENDORS, DriverNeed, DriverPackage
from bundler.model.driver_source import LockedDriver
from bundler.model.files import LockedPath
from bundler.model.lock import Lock
from bundler.model.manifest import parse_manifest
from bundler.model.platform import PLATFORMS
from bundler.model.rpm import LockedRpm
from bundler.model.wheel import LockedFile, LockedInput, LockedPackage
from bundler.persistence import retry_after
from bundler.store import Hasher, Store
from bundler.transport import Transport
from bundler.tree import pack_layer, unpack_layer, unpack_tar

RECIPES = Path(__file__).resolve().parents[3] / "recipes"
hexes = st.binary(min_size=32, max_size=32).map(bytes.hex)
sizes = st.integers(min_value=1, max_value=2**63 - 1)
platforms = st.lists(st.sampled_from(PLATFORMS), min_size=1, max_size=2, unique=True).map(tuple)
names = st.from_regex("[a-z0-9]{1,9}(-[a-z0-9]{1,5})?", fullmatch=True)
# YAML 1.1 reads many a plain word as something else; these are versions that look like numbers, dates and truths.
versions = st.one_of(
    st.from_regex(r"[0-9][0-9A-Za-z.+]{0,9}", fullmatch=True),
    st.sampled_from(["1.0", "1e3", "2026", "2026-01-31", "0x10", "1_000", "0o7"]),
)
parts = st.one_of(
    st.text(
        st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp"), exclude_characters="/\\"), min_size=1, max_size=9
    ),
    st.sampled_from(["null", "true", "yes", "~", "- x", "a: b", "#x", "'", '"', "{", "[", "%", "@", "1.0"]),
)
paths = (
    st.lists(parts, min_size=1, max_size=3)
    .map("/".join)
    .filter(lambda path: path.isprintable() and not {".", ".."} & set(path.split("/")))
)
debs = st.builds(
    LockedDeb,
    name=st.from_regex("[a-z0-9][a-z0-9+.-]{1,9}", fullmatch=True),
    version=st.from_regex("[0-9][0-9A-Za-z.+:~-]{0,9}", fullmatch=True),
    architecture=st.sampled_from(["amd64", "arm64", "all"]),
    path=paths,
    size=sizes,
    sha256=hexes,
    platform=st.sampled_from(PLATFORMS),
)
rpm_parts = st.from_regex(r"[0-9A-Za-z._+~^]{1,6}", fullmatch=True)
rpms = st.builds(
    LockedRpm,
    release=st.sampled_from(["openeuler-22.03-lts-sp3", "kylin-v10", "9"]),
    repository=st.from_regex("[0-9A-Za-z][0-9A-Za-z._:-]{0,9}", fullmatch=True),
    name=st.from_regex("[0-9A-Za-z_][0-9A-Za-z._+-]{0,9}", fullmatch=True),
    version=st.builds("{}{}-{}".format, st.sampled_from(["", "0:", "12:"]), rpm_parts, rpm_parts),
    architecture=st.sampled_from(["x86_64", "aarch64", "noarch"]),
    path=paths,
    size=sizes,
    sha256=hexes,
    platform=st.sampled_from(PLATFORMS),
)
files = st.builds(
    LockedFile,
    name=st.from_regex(r"[a-z][a-z0-9_.-]{0,20}\.(whl|tar\.gz|zip)", fullmatch=True),
    size=sizes,
    sha256=hexes,
    platforms=platforms,
)
packages = st.lists(
    st.builds(
        LockedPackage,
        name=names,
        version=versions,
        files=st.lists(files, max_size=2).map(tuple),
        why=st.lists(st.sampled_from(["one", "one[x]>=1 ; python_version < '4'", "-r a b.txt", "null"])).map(tuple),
        index=st.sampled_from(["", "cu-124", "1"]),
    ),
    max_size=3,
).map(tuple)
driver_versions = st.from_regex("[0-9][0-9A-Za-z._-]{0,12}", fullmatch=True)
words = st.from_regex("[!-~]([ -~]{0,8}[!-~])?", fullmatch=True).filter(lambda word: word != FILE)
drivers = st.builds(
    LockedDriver,
    file=st.builds(
        LockedPath,
        path=paths,
        to=st.from_regex("[0-9A-Za-z][0-9A-Za-z._+~-]{0,20}", fullmatch=True).filter(
            lambda name: name not in (".", "..")
        ),
        size=sizes,
        sha256=hexes,
        executable=st.just(False),
    ),
    platform=st.sampled_from(PLATFORMS),
    package=st.builds(
        DriverPackage,
        vendor=st.sampled_from(sorted(VENDORS)),
        version=driver_versions,
        install=st.lists(words, max_size=3).map(lambda more: ("sh", FILE, *more)),
        uninstall=st.lists(words, max_size=2).map(lambda more: ("nvidia-uninstall", *more)),
        cards=st.lists(st.from_regex("[0-9a-f]{4}", fullmatch=True), max_size=2).map(tuple),
        kernels=st.sampled_from(["", ">=5.4", ">=5.4,<6.9", "==4.19.90"]),
        systems=st.lists(st.sampled_from(["debian-12", "kylin", "null", "yes"]), max_size=2).map(tuple),
        headers=st.booleans(),
        signed=st.booleans(),
        reboot=st.booleans(),
        statuses=st.sampled_from([("0",), ("0", "2")]),
    ),
    targets=st.lists(st.sampled_from(["host", "银行", "a: b"]), max_size=2).map(tuple),
)
needs = st.builds(
    DriverNeed,
    vendor=st.sampled_from(sorted(VENDORS)),
    minimum=driver_versions,
    because=st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=20),
    verified=st.booleans(),
)
locks = st.builds(
    Lock,
    name=names,
    version=versions,
    recipe_sha256=hexes,
    as_of=st.dates().filter(lambda day: day.year > 999).map(str),
    created=st.datetimes().filter(lambda time: time.year > 999).map(lambda time: f"{time:%Y-%m-%dT%H:%M:%SZ}"),
    python_version=st.sampled_from(["3.10", "3.11"]),
    python_suite=st.sampled_from(["bookworm", "null", "yes"]),
    platforms=platforms,
    debs=st.lists(debs, max_size=3).map(tuple),
    wheels=packages,
    build=packages,
    toolchain=packages,
    files=st.lists(
        st.builds(LockedPath, path=paths, to=paths, size=st.integers(0, 9), sha256=hexes, executable=st.booleans()),
        max_size=3,
    ).map(tuple),
    requirements=st.lists(st.builds(LockedInput, path=paths, sha256=hexes), max_size=2).map(tuple),
    images=st.just(()),
    rpms=st.lists(rpms, max_size=2).map(tuple),
    rpm_keys=st.just(()),
    unsigned_repositories=st.just(()),
    drivers=st.lists(drivers, max_size=2).map(tuple),
    accelerators=st.lists(needs, max_size=2).map(tuple),
    sha256=st.just(""),
    sm3=st.just(""),
)


@contextlib.contextmanager
def scratch() -> Any:
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


@settings(deadline=None, max_examples=30)
@given(locks)
def test_a_lock_comes_back_as_it_was_written(lock: Lock) -> None:
    with scratch() as directory:
        path = directory / "recipe.lock.yaml"
        text = format_lock(lock)
        path.write_text(text)
        again = read_lock(path)
    assert replace(again, sha256="", sm3="") == lock
    assert again.sha256 == hashlib.sha256(text.encode()).hexdigest()


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=200))
def test_bytes_that_are_no_recipe_raise_one_kind_of_error(raw: bytes) -> None:
    with scratch() as directory:
        (directory / "recipe.yaml").write_bytes(raw)
        with pytest.raises(RecipeError):
            read_recipe(directory)


@settings(deadline=None, max_examples=60)
@given(st.integers(min_value=0), st.integers(min_value=0), st.binary(max_size=8))
def test_a_spoiled_recipe_is_a_recipe_or_refused(start: int, count: int, other: bytes) -> None:
    raw = (RECIPES / "hello/recipe.yaml").read_bytes()
    start, count = start % len(raw), count % 40
    with scratch() as directory:
        (directory / "recipe.yaml").write_bytes(raw[:start] + other + raw[start + count :])
        with contextlib.suppress(RecipeError):
            read_recipe(directory)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "size"]), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.sampled_from(["key", "other"]), json_values))
def test_any_value_is_taken_or_refused(document: dict[str, Any]) -> None:
    readers: list[Any] = [
        lambda f: f.text("key"),
        lambda f: f.integer("key"),
        lambda f: f.flag("key"),
        lambda f: f.hex("key"),
        lambda f: f.texts("key"),
        lambda f: f.pairs("key"),
        lambda f: f.mapping("key").text("a"),
        lambda f: f.each("key", lambda one: one.integer("size")),
        lambda f: f.moment("key", form="%Y-%m-%d", what="a date"),
        lambda f: f.close(),
    ]
    for read in readers:
        try:
            read(Fields(document, place="", error=IntegrityError))
        except IntegrityError as error:
            str(error).encode()


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.sampled_from(["format", "name", "items", "entries", "lock", "platforms"]), json_values))
def test_any_json_is_no_manifest(document: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError):
        parse_manifest(json.dumps({"format": "ferry/bundle/v2", **document}).encode())


@settings(deadline=None, max_examples=60)
@given(st.lists(st.binary(max_size=100), max_size=9))
def test_a_digest_does_not_depend_on_how_the_bytes_come(pieces: list[bytes]) -> None:
    whole, split = Hasher(), Hasher()
    whole.update(b"".join(pieces))
    for piece in pieces:
        split.update(piece)
    assert whole.finish(OCTETS) == split.finish(OCTETS)


tree_names = st.lists(
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="/\0"), min_size=1, max_size=60).filter(
        lambda name: name not in (".", "..") and len(name.encode()) < 200
    ),
    min_size=1,
    max_size=3,
).map("/".join)


@settings(deadline=None, max_examples=30)
@given(st.dictionaries(tree_names, st.tuples(st.binary(max_size=50), st.booleans()), max_size=6))
def test_a_tree_comes_back_from_its_layer(tree: dict[str, tuple[bytes, bool]]) -> None:
    with scratch() as directory:
        made, back = directory / "made", directory / "back"
        made.mkdir()
        back.mkdir()
        kept = {}
        for name, (data, run) in tree.items():
            with contextlib.suppress(FileExistsError, NotADirectoryError, IsADirectoryError):
                (made / name).parent.mkdir(parents=True, exist_ok=True)
                (made / name).write_bytes(data)
                (made / name).chmod(0o755 if run else 0o644)
                kept[name] = (data, run)
        store = Store(directory / "store")
        layer = pack_layer(made, store)
        with store.path(layer.descriptor.sha256).open("rb") as stream:
            unpack_layer(stream, back)
        for name, (data, run) in kept.items():
            assert (back / name).read_bytes() == data
            assert bool((back / name).stat().st_mode & 0o100) == run
        assert pack_layer(back, store) == layer


hostile_names = st.sampled_from(["a", "b", "a/b", "a/b/c", "..", "../x", "a/../../x", "/x", "./a", "b/../c", "x"])
hostile_members = st.tuples(
    hostile_names,
    st.one_of(
        st.none(),
        st.binary(max_size=3),
        st.builds(lambda to, hard: link(to, hard=hard), hostile_names, st.booleans()),
    ),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(hostile_members, min_size=1, max_size=6), st.booleans())
def test_no_tar_writes_outside(members: list[tuple[str, Any]], replaced: bool) -> None:
    with scratch() as directory:
        (directory / "x").write_text("as it was")
        (directory / "root").mkdir()
        for _ in range(2):
            with contextlib.suppress(IntegrityError):
                unpack_tar(io.BytesIO(make_tar(*members)), directory / "root", replace=replaced)
        assert sorted(path.name for path in directory.iterdir()) == ["root", "x"]
        assert (directory / "x").read_text() == "as it was"
        for path in (directory / "root").rglob("*"):
            if path.is_symlink():
                with contextlib.suppress(RuntimeError, OSError):
                    assert (directory / "root").resolve() in (path.resolve(), *path.resolve().parents)


TAR = make_tar(("a", None), ("a/b", b"data" * 300), ("l", link("a/b")), ("名", b"x"))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, len(TAR) - 1), st.binary(min_size=1, max_size=12), st.booleans())
def test_a_spoiled_tar_is_a_tar_or_refused(start: int, other: bytes, packed: bool) -> None:
    raw = TAR[:start] + other + TAR[start + len(other) :]
    with scratch() as directory, contextlib.suppress(IntegrityError):
        if packed:
            unpack_layer(io.BytesIO(gzip.compress(raw)), directory)
        else:
            unpack_tar(io.BytesIO(raw), directory)


DATA = bytes(range(251)) * 300


@pytest.fixture(scope="module")
def mirror() -> Any:
    with Mirror() as server:
        yield server


@settings(deadline=None, max_examples=40)
@given(
    cuts=st.lists(st.integers(0, len(DATA)), max_size=2),
    ranges=st.booleans(),
    left=st.one_of(st.binary(max_size=30), st.integers(0, len(DATA)).map(lambda count: DATA[:count])),
)
def test_a_file_comes_whole_however_it_is_cut(mirror: Mirror, cuts: list[int], ranges: bool, left: bytes) -> None:
    sha256 = hashlib.sha256(DATA).hexdigest()
    answers = [Answer(body=DATA, cut=cut, ranges=ranges) for cut in cuts]
    with scratch() as directory, pytest.MonkeyPatch.context() as patch:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            patch.delenv(name, raising=False)
        store = Store(directory)
        (directory / f"parts/{sha256}.part").write_bytes(left)
        url = mirror.serve("/f", *answers, Answer(body=DATA, ranges=ranges))
        transport = Transport(StillClock())
        transport.download([url], store, sha256=sha256, size=len(DATA), progress=lambda count: None)
        assert store.read(sha256) == DATA
        assert list((directory / "parts").iterdir()) == []


@given(
    st.one_of(
        st.text(), st.from_regex(r"[A-Z][a-z]{2}, [0-9]{2} Dec [0-9]{1,6} [0-9]{2}:[0-9]{2}:[0-9]{2} [-+A-Z0-9]*")
    )
)
def test_whatever_a_server_says_of_when_to_come_back_is_a_time(text: str) -> None:
    clock = StillClock()
    for headers in ({"Retry-After": text}, {"Retry-After": "Tue, 01 Dec 2026 00:00:09 GMT", "Date": text}):
        assert retry_after(headers, clock) >= 0
