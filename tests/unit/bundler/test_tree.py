import gzip
import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from artifacts import link, make_tar

from bundler.errors import IntegrityError
from bundler.model.descriptor import MTIME
from bundler.store import Store
from bundler.tree import pack_layer, unpack_layer, unpack_tar, write_tree_file

OUT = "the member leads out of the tree"
TWICE = "the member stands twice"


def special(kind: bytes, **pax: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo()
    info.type, info.pax_headers = kind, pax
    return info


def named(**pax: str) -> tarfile.TarInfo:
    """Describe an empty file whose name or link target a pax header gives."""
    return special(tarfile.SYMTYPE if "linkpath" in pax else tarfile.REGTYPE, **pax)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A destination beside a file that nothing may touch."""
    (tmp_path / "outside").write_text("as it was")
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def listing(root: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        mode = stat.S_IMODE(path.lstat().st_mode)
        if path.is_symlink():
            found[name] = str(path.readlink())
        else:
            found[name] = mode if path.is_dir() else (mode, path.read_bytes())
    return found


def test_files_directories_and_links(root: Path, umask: Callable[[int], Any]) -> None:
    members = (("./", None), ("./a/b/run", b"#!/bin/sh"), ("c", None), ("c/d", b"text"), ("top", link("a/b/run")))
    with umask(0o077):
        unpack_tar(io.BytesIO(make_tar(*members)), root)
    assert listing(root) == {
        "a": 0o755,
        "a/b": 0o755,
        "a/b/run": (0o755, b"#!/bin/sh"),
        "c": 0o755,
        "c/d": (0o644, b"text"),
        "top": "a/b/run",
    }


def test_links_are_relative_and_stay_inside(root: Path) -> None:
    members = (
        ("etc/mtab", link("/proc/mounts")),
        ("a/b/up", link("../../top")),
        ("a/again", link("top", hard=True)),
        ("..data", link("..names")),
        ("top", b"1"),
    )
    unpack_tar(io.BytesIO(make_tar(*members)), root)
    found = {name: value for name, value in listing(root).items() if isinstance(value, str)}
    assert found == {"etc/mtab": "../proc/mounts", "a/b/up": "../../top", "a/again": "../top", "..data": "..names"}
    assert (root / "a/again").read_bytes() == b"1"


HOSTILE = {
    "parent": ([("../outside", b"x")], f'"../outside": {OUT}'),
    "parent-inside": ([("a/../../outside", b"x")], f'"a/../../outside": {OUT}'),
    "absolute": ([("/outside", b"x")], f'"/outside": {OUT}'),
    "twice-absolute": ([("//outside", b"x")], f'"//outside": {OUT}'),
    "directory-out": ([("../made", None)], f'"../made": {OUT}'),
    "nul": ([("x", named(path="in\0/../../outside"))], f'"in\\x00/../../outside": {OUT}'),
    "link-out": ([("l", link("../outside"))], '"l": the link leads out of the tree, to "../outside"'),
    "link-to-parent": ([("l", link(".."))], '"l": the link leads out of the tree, to ".."'),
    "link-deep-out": ([("a/l", link("../../outside"))], '"a/l": the link leads out of the tree, to "../../outside"'),
    "link-absolute-out": ([("l", link("/../outside"))], f'"../outside": {OUT}'),
    "link-nul": ([("l", named(linkpath="a\0b"))], '"l": the link leads out of the tree, to "a\\x00b"'),
    "hard-link-out": ([("l", link("../outside", hard=True))], f'"../outside": {OUT}'),
    "hard-link-absolute": ([("l", link("/etc/passwd", hard=True))], f'"/etc/passwd": {OUT}'),
    "link-then-file-through": ([("l", link("..")), ("l/outside", b"x")], None),
    "link-inside-then-file-through": ([("d", None), ("l", link("d")), ("l/x", b"x")], f'"l": {TWICE}'),
    "link-below-link": (
        [("d", None), ("l", link("d")), ("l/m", link("../outside"))],
        '"l": a file or link stands where a directory must be',
    ),
    "file-below-file": ([("f", b"1"), ("f/g", b"2")], '"f": a file or link stands where a directory must be'),
    "file-twice": ([("f", b"1"), ("./f", b"2")], f'"f": {TWICE}'),
    "file-over-directory": ([("f", None), ("f", b"2")], f'"f": {TWICE}'),
    "directory-over-file": ([("f", b"1"), ("f", None)], '"f": a file or link stands where a directory must be'),
    "link-twice": ([("l", link("a")), ("l", link("b"))], f'"l": {TWICE}'),
    "link-over-file": ([("l", b"1"), ("l", link("b"))], f'"l": {TWICE}'),
    "link-over-directory": ([("l", None), ("l", link("b"))], f'"l": {TWICE}'),
    "link-over-full-directory": ([("l/x", b"1"), ("l", link("b"))], f'"l": {TWICE}'),
    "character-device": ([("dev", special(tarfile.CHRTYPE))], '"dev": expected a file, directory or link'),
    "block-device": ([("dev", special(tarfile.BLKTYPE))], '"dev": expected a file, directory or link'),
    "fifo": ([("pipe", special(tarfile.FIFOTYPE))], '"pipe": expected a file, directory or link'),
    "sparse": (
        [("s", special(tarfile.REGTYPE, **{"GNU.sparse.major": "0", "GNU.sparse.size": str(2**60)}))],
        None,
    ),
    "long-name": ([("n" * 256, b"x")], f'"{"n" * 100}": the name cannot be made here: File name too long'),
    "long-directory": ([("n" * 256, None)], f'"{"n" * 100}": the name cannot be made here: File name too long'),
    "long-link": ([("l", link("n" * 5000))], f'"{"n" * 100}": the name cannot be made here: File name too long'),
    "escape-sequence": ([("../\x1b[2J", b"x")], f'"../\\x1b[2J": {OUT}'),
}


@pytest.mark.parametrize("defect", HOSTILE)
def test_a_hostile_tar_is_refused(defect: str, root: Path) -> None:
    members, says = HOSTILE[defect]
    with pytest.raises(IntegrityError) as refused:
        unpack_tar(io.BytesIO(make_tar(*members)), root)
    if says is not None:
        assert str(refused.value) == says
    assert sorted(path.name for path in root.parent.iterdir()) == ["outside", "root"]
    assert (root.parent / "outside").read_text() == "as it was"


def test_the_escape_of_the_standard_library_is_refused(shared: Callable[[str], Path], root: Path) -> None:
    vector = shared("vectors/tar_escape_pathmax.tar")
    with tarfile.open(vector) as tar:
        written = [member.name for member in tar if member.isreg()]
    with vector.open("rb") as stream, pytest.raises(IntegrityError):
        unpack_tar(stream, root)
    assert written
    assert sorted(path.name for path in root.parent.iterdir()) == ["outside", "root"]
    assert (root.parent / "outside").read_text() == "as it was"


def test_a_very_deep_tree_is_no_escape(root: Path) -> None:
    name = "/".join(["d" * 200] * 30)
    unpack_tar(io.BytesIO(make_tar((f"{name}/f", b"x"), (f"{name}/l", link("/".join([".."] * 30) + "/top")))), root)
    depth = 0
    for _, directories, _, handle in os.fwalk(root):
        depth += bool(directories)
        assert handle
    assert depth == 30


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "expected a tar: empty file"),
        (b"no tar at all" * 100, "expected a tar: invalid header"),
        (make_tar(("f", b"x" * 5000))[:2000], "expected a tar: unexpected end of data"),
    ],
)
def test_what_is_no_tar_is_refused(raw: bytes, says: str, root: Path) -> None:
    with pytest.raises(IntegrityError) as refused:
        unpack_tar(io.BytesIO(raw), root)
    assert str(refused.value) == says


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: raw[: len(raw) // 2],
        lambda raw: raw[:40] + b"\xff" * 30 + raw[70:],
        lambda raw: b"no gzip",
    ],
    ids=["cut", "stream", "magic"],
)
def test_a_damaged_layer_is_refused(spoil: Callable[[bytes], bytes], root: Path) -> None:
    raw = gzip.compress(make_tar(("f", os.urandom(5000))), mtime=0)
    with pytest.raises(IntegrityError, match=r"^expected a tar: "):
        unpack_layer(io.BytesIO(spoil(raw)), root)


def test_a_later_archive_may_replace_files(root: Path) -> None:
    for data in (b"1", b"2"):
        unpack_tar(io.BytesIO(make_tar(("d", None), ("d/f", data), ("l", link(data.decode())))), root, replace=True)
    assert listing(root) == {"d": 0o755, "d/f": (0o644, b"2"), "l": "2"}


def test_a_later_archive_does_not_write_through_links_of_an_earlier_one(root: Path) -> None:
    unpack_tar(io.BytesIO(make_tar(("l", link("d")), ("d", None))), root)
    with pytest.raises(IntegrityError) as refused:
        unpack_tar(io.BytesIO(make_tar(("l/f", b"x"))), root, replace=True)
    assert str(refused.value) == '"l": a file or link stands where a directory must be'


def test_members_may_be_renamed_and_dropped(root: Path) -> None:
    def place(name: str) -> str | None:
        return None if name.startswith("doc") else f"usr/{name}"

    members = (("doc/a", b"x"), ("lib/f", b"y"), ("bin/l", link("../lib/f")), ("bin/gone", link("/doc/a")))
    unpack_tar(io.BytesIO(make_tar(*members)), root, place=place)
    found = {name: value for name, value in listing(root).items() if not isinstance(value, int)}
    assert found == {"usr/bin/gone": "../../doc/a", "usr/bin/l": "../lib/f", "usr/lib/f": (0o644, b"y")}


def test_one_file_is_written_at_its_place(root: Path, umask: Callable[[int], Any]) -> None:
    with umask(0o077):
        write_tree_file(root, "srv/x/run", io.BytesIO(b"1"), executable=True)
    assert listing(root) == {"srv": 0o755, "srv/x": 0o755, "srv/x/run": (0o755, b"1")}
    with pytest.raises(IntegrityError) as refused:
        write_tree_file(root, "srv/x/run", io.BytesIO(b"2"), executable=True)
    assert str(refused.value) == f'"srv/x/run": {TWICE}'
    with pytest.raises(IntegrityError) as refused:
        write_tree_file(root, "../outside", io.BytesIO(b"2"), executable=True)
    assert str(refused.value) == f'"../outside": {OUT}'


def grow(root: Path, names: list[str], when: int) -> Path:
    """Make a tree in the order of `names`, with the times `when`."""
    root.mkdir(parents=True)
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        path.chmod(0o700 if name.startswith("bin") else 0o600)
        os.utime(path, (when, when))
    (root / "link").symlink_to("bin/run")
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    return root


NAMES = ["bin/run", "etc/a.conf", "etc/b/c", "名前", "z"]


def test_a_layer_does_not_depend_on_place_order_time_and_umask(
    tmp_path: Path, store: Store, umask: Callable[[int], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with umask(0o022):
        first = pack_layer(grow(tmp_path / "a", NAMES, 1), store)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    with umask(0o077):
        second = pack_layer(grow(tmp_path / "b/c", NAMES[::-1], 10**9), Store(tmp_path / "other"))
    assert first == second


def test_what_is_in_a_layer(tmp_path: Path, store: Store) -> None:
    layer = pack_layer(grow(tmp_path / "a", NAMES, 1), store, owned=lambda name: 7 if name == "z" else 0)
    plain = gzip.decompress(store.read(layer.descriptor.sha256))
    assert hashlib.sha256(plain).hexdigest() == layer.diff_id
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == sorted(
        ["bin", "bin/run", "etc", "etc/a.conf", "etc/b", "etc/b/c", "link", "tmp", "z", "名前"]
    )
    assert {member.mtime for member in members} == {MTIME}
    assert {(member.name, member.uid, member.gid) for member in members if member.uid} == {("z", 7, 7)}
    modes = {member.name: member.mode for member in members}
    assert (modes["bin/run"], modes["z"], modes["bin"], modes["tmp"]) == (0o755, 0o644, 0o755, 0o1777)
    assert {(member.uname, member.gname) for member in members} == {("", "")}


def test_a_layer_stands_below_its_prefix(tmp_path: Path, store: Store, root: Path) -> None:
    layer = pack_layer(grow(tmp_path / "a", ["f"], 1), store, prefix="opt/x")
    with store.path(layer.descriptor.sha256).open("rb") as stream:
        unpack_layer(stream, root)
    assert (root / "opt/x/f").read_text() == "f"


def test_a_large_layer_is_made_of_pieces(tmp_path: Path, store: Store, root: Path) -> None:
    (tmp_path / "a").mkdir()
    data = os.urandom(1024 * 1024) * 9
    (tmp_path / "a/large").write_bytes(data)
    layer = pack_layer(tmp_path / "a", store)
    assert hashlib.sha256(gzip.decompress(store.read(layer.descriptor.sha256))).hexdigest() == layer.diff_id
    with store.path(layer.descriptor.sha256).open("rb") as stream:
        unpack_layer(stream, root)
    assert (root / "large").read_bytes() == data
