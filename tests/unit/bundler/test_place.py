import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bundler.errors import IntegrityError
from bundler.model.descriptor import OCTETS
from bundler.place import SHARED_ABOVE_BYTES, place_blob
from bundler.store import Store

LARGE = bytes(SHARED_ABOVE_BYTES) + b"end"


def blob(directory: Path, data: bytes = LARGE) -> Path:
    store = Store(directory / "store")
    return store.path(store.put(data, OCTETS).sha256)


def clones(directory: Path) -> bool:
    with (directory / "a").open("wb") as source, (directory / "b").open("wb") as target:
        try:
            fcntl.ioctl(target.fileno(), 0x40049409, source.fileno())
        except OSError:
            return False
    return True


def modes(path: Path) -> tuple[int, bytes]:
    return path.stat().st_mode & 0o777, path.read_bytes()


def test_a_large_file_takes_no_room_of_its_own(tmp_path: Path) -> None:
    held = blob(tmp_path)
    (tmp_path / "root").mkdir()
    place_blob(tmp_path / "root", "srv/m/model.bin", held, executable=False)
    assert modes(tmp_path / "root/srv/m/model.bin") == (0o644, LARGE)
    assert (tmp_path / "root/srv/m/model.bin").samefile(held) != clones(tmp_path)


@pytest.mark.parametrize(("data", "executable"), [(LARGE, True), (b"small", False), (b"small", True)])
def test_programs_and_small_files_are_files_of_their_own(data: bytes, executable: bool, tmp_path: Path) -> None:
    held = blob(tmp_path, data)
    (tmp_path / "root").mkdir()
    place_blob(tmp_path / "root", "x", held, executable=executable)
    assert modes(tmp_path / "root/x") == (0o755 if executable else 0o644, data)
    assert not (tmp_path / "root/x").samefile(held)
    assert held.stat().st_mode & 0o777 == 0o644


def test_what_cannot_be_shared_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def elsewhere(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    held = blob(tmp_path)
    (tmp_path / "root").mkdir()
    monkeypatch.setattr(os, "link", elsewhere)
    monkeypatch.setattr(fcntl, "ioctl", elsewhere)
    place_blob(tmp_path / "root", "x", held, executable=False)
    assert modes(tmp_path / "root/x") == (0o644, LARGE)
    assert not (tmp_path / "root/x").samefile(held)


def test_a_clone_has_a_mode_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def clone(target: int, request: int, source: int) -> int:
        return os.sendfile(target, source, 0, len(LARGE))

    held = blob(tmp_path)
    (tmp_path / "root").mkdir()
    monkeypatch.setattr(fcntl, "ioctl", clone)
    place_blob(tmp_path / "root", "x", held, executable=True)
    assert modes(tmp_path / "root/x") == (0o755, LARGE)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (Path.touch, '"srv/x": the member stands twice'),
        (lambda path: path.symlink_to("/etc/hostname"), '"srv/x": the member stands twice'),
    ],
)
def test_what_is_there_is_never_replaced(make: Callable[[Path], None], says: str, tmp_path: Path) -> None:
    held = blob(tmp_path)
    (tmp_path / "root/srv").mkdir(parents=True)
    make(tmp_path / "root/srv/x")
    with pytest.raises(IntegrityError) as refused:
        place_blob(tmp_path / "root", "srv/x", held, executable=False)
    assert str(refused.value) == says
    with pytest.raises(IntegrityError) as refused:
        place_blob(tmp_path / "root", "../x", held, executable=False)
    assert str(refused.value) == '"../x": the member leads out of the tree'
