import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from artifacts import LOADER, RUNTIME, ar_member, link, make_deb

from bundler.debs import make_runtime
from bundler.errors import IntegrityError
from bundler.model.platform import parse_platform
from bundler.store import Store
from bundler.tree import pack_layer

AMD64, ARM64 = parse_platform("linux/amd64"), parse_platform("linux/arm64")


def unpack(tmp_path: Path, *debs: bytes, platform: object = AMD64, python: str = "3.11", name: str = "root") -> Path:
    paths = []
    for number, deb in enumerate(debs):
        paths.append(tmp_path / f"{number}.deb")
        paths[-1].write_bytes(deb)
    root = tmp_path / name
    root.mkdir()
    make_runtime(paths, root, platform=AMD64 if platform is AMD64 else ARM64, python=python)
    return root


def output(argv: Sequence[str | Path]) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


@pytest.mark.parametrize("compression", ["xz", "gz", ""])
def test_packages_become_one_tree(compression: str, tmp_path: Path) -> None:
    first = make_deb(
        *RUNTIME, ("./usr/share/doc/x/copyright", b"long"), ("./etc/x.conf", b"c"), compression=compression
    )
    second = make_deb(
        ("./lib/x86_64-linux-gnu/libz.so.1.2", b"z"),
        ("./lib/x86_64-linux-gnu/libz.so.1", link("libz.so.1.2")),
        ("./lib/x/y", link("../../usr/share/y")),
        ("./usr/lib/python3.11/test/test_os.py", b"t"),
        ("./var/lib/x", b"v"),
    )
    root = unpack(tmp_path, first, second)
    found = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_symlink() or path.is_file()}
    assert found == {
        "lib",
        "lib64",
        "bin",
        "usr/lib64/ld-linux-x86-64.so.2",
        "usr/bin/python",
        "usr/bin/python3",
        "usr/bin/python3.11",
        "usr/bin/python3.11.real",
        "usr/lib/python3.11/os.py",
        "usr/lib/x86_64-linux-gnu/libz.so.1",
        "usr/lib/x86_64-linux-gnu/libz.so.1.2",
        "usr/lib/x/y",
    }
    assert (root / "lib").readlink() == Path("usr/lib")
    assert (root / "usr/lib/x/y").readlink() == Path("../../share/y")
    assert (root / "lib/x86_64-linux-gnu/libz.so.1").read_bytes() == b"z"


def test_its_python_starts_with_its_own_loader_from_anywhere(tmp_path: Path) -> None:
    before = unpack(tmp_path, make_deb(*RUNTIME))
    root = before.rename(tmp_path / "moved")
    words = f"--inhibit-cache --library-path {root}/usr/lib/x86_64-linux-gnu {root}/usr/bin/python3.11.real -c x y"
    python = root / "usr/bin/python3.11"
    assert output([python, "-c", "x y"]) == f"--argv0 {python} {words}"
    far, near = tmp_path / "far", root / "usr/bin/near"
    far.symlink_to(root / "usr/bin/python3")
    near.symlink_to("python")
    assert output([far, "-c", "x y"]) == f"--argv0 {far} {words}"
    assert output([near, "-c", "x y"]) == f"--argv0 {near} {words}"


def test_the_same_packages_give_the_same_layer(tmp_path: Path, store: Store) -> None:
    first, second = (pack_layer(unpack(tmp_path, make_deb(*RUNTIME), name=name), store) for name in ("a", "b"))
    assert first == second


def test_the_real_packager_makes_what_is_read(tmp_path: Path) -> None:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is absent")
    tree = tmp_path / "tree"
    for name, content in RUNTIME:
        assert isinstance(content, bytes)
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
    (tree / "lib64/ld-linux-x86-64.so.2").chmod(0o755)
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN/control").write_text("Package: x\nVersion: 1\nArchitecture: all\nMaintainer: t\nDescription: t\n")
    command = ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(tree), str(tmp_path / "x.deb")]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    root = unpack(tmp_path, (tmp_path / "x.deb").read_bytes())
    assert (root / "lib64/ld-linux-x86-64.so.2").read_bytes() == LOADER


HEAD = b"!<arch>\n"
NEGATIVE = 'expected the size of a member in the Debian package, got "-60"'
DEFECTS = {
    "magic": (b"PK\3\4", "0.deb: expected a Debian package"),
    "empty": (b"", "0.deb: expected a Debian package"),
    "no-data": (HEAD + ar_member("debian-binary", b"2.0\n"), "0.deb: expected a data.tar in the Debian package"),
    "zstd": (make_deb(compression="zst"), '0.deb: expected data.tar.xz or data.tar.gz, got "data.tar.zst"'),
    "size": (HEAD + ar_member("control.tar", b"", "-60"), f"0.deb: {NEGATIVE}"),
    "size-text": (HEAD + ar_member("control.tar", b"", "big"), f"0.deb: {NEGATIVE.replace('-60', 'big')}"),
    "cut": (make_deb(*RUNTIME)[:-100], None),
    "cut-gzip": (make_deb(*RUNTIME, compression="gz")[:-100], None),
    "not-xz": (HEAD + ar_member("data.tar.xz", b"x" * 99), None),
    "not-gzip": (HEAD + ar_member("data.tar.gz", b"x" * 99), None),
    "escape": (make_deb(("../outside", b"x")), '"../outside": the member leads out of the tree'),
    "link-escape": (make_deb(("l", link("../x"))), '"l": the link leads out of the tree, to "../x"'),
    "device": (
        make_deb(*RUNTIME, ("usr/lib/python3.11/x", link("/etc/../../x"))),
        '"etc/../../x": the member leads out of the tree',
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_bad_package_is_refused(defect: str, tmp_path: Path) -> None:
    deb, says = DEFECTS[defect]
    with pytest.raises(IntegrityError) as refused:
        unpack(tmp_path, deb)
    assert str(refused.value) == says if says else str(refused.value).startswith("expected a tar: ")
    assert not (tmp_path / "outside").exists()


def test_packages_without_that_python_are_refused(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError) as refused:
        unpack(tmp_path, make_deb(*RUNTIME), python="3.12")
    assert str(refused.value) == "python.packages: the packages hold no python3.12 for linux/amd64"
    with pytest.raises(IntegrityError) as refused:
        unpack(tmp_path, make_deb(*RUNTIME), platform=ARM64, name="other")
    assert str(refused.value) == "python.packages: the packages hold no python3.11 for linux/arm64"
