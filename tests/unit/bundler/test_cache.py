"""`ferry cache` as a user runs it: nothing that is needed goes, and nothing goes while it is used."""

import hashlib
import json
import os
import pty
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from command import CHECKOUT
from command import ferry as run_ferry
from values import lock

from bundler.load import format_lock
from bundler.model.descriptor import OCTETS
from bundler.model.files import LockedPath
from bundler.model.lock import Lock
from bundler.model.named import named_digests
from bundler.model.progress import Silent
from bundler.model.wheel import LockedFile, LockedPackage
from bundler.store import Store, derivation_key

DAY_S = 86400
CONTENTS = {
    "zip": b"PK\x03\x04 a wheel",
    "deb": b"!<arch>\ndebian-binary",
    "rpm": b"\xed\xab\xee\xdb\x03\x00",
    "archive": b"\x1f\x8b\x08 a layer",
    "json": b'{"schemaVersion":2}',
    "other": b"a file",
}


def ferry(store: Store, *words: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    return run_ferry("cache", *words, code=code, FERRY_STORE=str(store.root))


@pytest.fixture
def blobs(store: Store) -> dict[str, str]:
    """Fill the store with a blob of each kind, used long ago; return their digests."""
    found = {kind: store.put(data, OCTETS).sha256 for kind, data in CONTENTS.items()}
    for sha256 in found.values():
        age(store.path(sha256), 100)
    return found


def age(path: Path, days: float) -> None:
    then = time.time() - days * DAY_S
    os.utime(path, (then, then))


def kept(store: Store) -> set[str]:
    return {path.name for path in (store.root / "blobs/sha256").iterdir()}


def leave_rubbish(store: Store) -> list[Path]:
    """Leave what killed processes leave."""
    part = store.resume("a" * 64)
    assert part is not None
    part.write(b"half")
    part.keep()
    work = store.root / "ferry-build-killed"
    (work / "tree").mkdir(parents=True)
    (work / "tree/file").write_bytes(b"12345")
    (work / "tree/link").symlink_to("/nonexistent")
    (store.root / "known" / ("b" * 64)).write_text("{}")
    store.remember("c" * 64, {"blob": "d" * 64})
    (store.root / "derived/.half").write_text("{")
    return [part.path, work, *(store.root / name for name in (f"known/{'b' * 64}", f"derived/{'c' * 64}"))]


def write_lock(directory: Path, *digests: str) -> Path:
    directory.mkdir()
    files = [
        LockedPath(path=f"f{n}", to=f"srv/f{n}", size=1, sha256=one, executable=False) for n, one in enumerate(digests)
    ]
    (directory / "recipe.lock.yaml").write_text(format_lock(lock(*files)))
    return directory


@contextmanager
def elsewhere(code: str, store: Store) -> Iterator[None]:
    """Run Python code on `store` in another process until it says that it is ready; end it with the statement."""
    begin = "import sys\nfrom pathlib import Path\nfrom bundler.store import Store\nfrom bundler.cache import in_use\n"
    end = "\nprint('ready', flush=True)\nsys.stdin.read()\n"
    argv = [sys.executable, "-c", f"{begin}root = Path(sys.argv[1])\n{code}{end}", str(store.root)]
    with subprocess.Popen(argv, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield
        process.communicate(timeout=20)


BUILD = "lock = in_use(root)\nlock.__enter__()"
PRUNE = "lock = in_use(root, alone=True)\nlock.__enter__()"


def test_a_store_that_is_not_there_is_empty_and_stays_so(tmp_path: Path) -> None:
    done = run_ferry("cache", "show", "--json", FERRY_STORE=str(tmp_path / "no/store"))
    found = json.loads(done.stdout)
    assert found.pop("free_bytes") > 0
    nothing = {"count": 0, "bytes": 0}
    assert found == {
        "path": f"{tmp_path}/no/store",
        "blobs": dict.fromkeys(CONTENTS, nothing),
        "unfinished": nothing | {"in_use": 0},
        "leftovers": nothing,
        "results": nothing,
    }
    assert list(tmp_path.iterdir()) == []


def test_what_a_store_holds(store: Store, blobs: dict[str, str]) -> None:
    leave_rubbish(store)
    found = json.loads(ferry(store, "show", "--json").stdout)
    assert found["blobs"] == {kind: {"count": 1, "bytes": len(data)} for kind, data in CONTENTS.items()}
    assert found["unfinished"] == {"count": 1, "bytes": 4, "in_use": 0}
    assert found["leftovers"] == {"count": 1, "bytes": 5 + len("/nonexistent")}
    lines = ferry(store, "show").stdout.splitlines()
    assert lines[:2] == [str(store.root), "        1        12 B  wheels and other zip files"]
    assert lines[7:10] == [
        "        6        75 B  all blobs",
        "        1         4 B  unfinished downloads",
        "        1        17 B  leftovers of killed builds",
    ]
    assert lines[-1].endswith(" GB free on this disk")


def test_without_a_choice_only_rubbish_goes(store: Store, blobs: dict[str, str]) -> None:
    rubbish = leave_rubbish(store)
    would = ferry(store, "prune", "--dry-run").stdout
    assert would.splitlines() == [
        "        1         4 B  unfinished downloads",
        "        1        17 B  leftovers of killed builds",
        "        3        79 B  records of blobs that are gone",
        "100 B would go",
    ]
    assert all(path.exists() for path in rubbish)
    assert ferry(store, "prune").stdout == would.replace("would go", "removed")
    assert not any(path.exists() for path in rubbish)
    assert kept(store) == set(blobs.values())
    for sha256 in blobs.values():
        assert (store.root / "known" / sha256).exists()
    assert ferry(store, "prune").stdout == "nothing to remove\n"


def test_what_somebody_writes_stays(store: Store) -> None:
    code = f"part = Store(root).resume('{'a' * 64}')\npart.write(b'half')"
    with elsewhere(code, store):
        assert json.loads(ferry(store, "show", "--json").stdout)["unfinished"] == {"count": 1, "bytes": 4, "in_use": 1}
        assert "(1 being written)" in ferry(store, "show").stdout
        assert ferry(store, "prune", "--all", "--yes").stdout == "nothing to remove\n"
    assert ferry(store, "prune").stdout.endswith("4 B removed\n")


def test_what_a_lock_names_stays(store: Store, blobs: dict[str, str], tmp_path: Path) -> None:
    one, two = write_lock(tmp_path / "one", blobs["zip"]), write_lock(tmp_path / "two", blobs["deb"], "9" * 64)
    done = ferry(store, "prune", "--keep", one, "--keep", two, "--yes", "--json")
    assert json.loads(done.stdout) == {
        "path": str(store.root),
        "dry_run": False,
        "removed": {"orphan": {"count": 4, "bytes": 402}, "unused": {"count": 4, "bytes": 42}},
        "damaged": [],
    }
    assert kept(store) == {blobs["zip"], blobs["deb"]}


def test_what_was_used_of_late_stays(store: Store, blobs: dict[str, str], tmp_path: Path) -> None:
    layer = store.put(b"\x1f\x8b a composed layer", OCTETS).sha256
    keys = [derivation_key(name) for name in ("layer", "boot", "old boot")]
    store.remember(keys[0], {"blob": layer})
    store.remember(keys[1], {"app": "1.2"})
    store.remember(keys[2], {"app": "1.3"})
    for path in (store.path(layer), *(store.root / "derived" / key for key in keys)):
        age(path, 100)
    # What a build does with what it needs.
    store.complete([blobs["zip"]], Silent())
    assert store.remembered(keys[0])
    assert store.remembered(keys[1])
    recipe = write_lock(tmp_path / "recipe", blobs["json"])
    ferry(store, "prune", "--older-than", "30", "--keep", recipe, "--yes")
    assert kept(store) == {blobs["zip"], layer, blobs["json"]}
    assert [(store.root / "derived" / key).exists() for key in keys] == [True, True, False]


def test_a_young_part_stays_where_days_are_named(store: Store) -> None:
    leave_rubbish(store)
    ferry(store, "prune", "--older-than", "1", "--yes")
    assert store.resumable_bytes("a" * 64) == 4
    age(store.root / "parts" / f"{'a' * 64}.part", 2)
    ferry(store, "prune", "--older-than", "1", "--yes")
    assert store.resumable_bytes("a" * 64) == 0


def test_everything_goes_and_the_store_works_on(store: Store, blobs: dict[str, str]) -> None:
    store.remember(derivation_key("boot"), {"app": "1"})
    leave_rubbish(store)
    ferry(store, "prune", "--all", "--yes")
    left = {path.relative_to(store.root).as_posix() for path in store.root.rglob("*") if path.is_file()}
    assert left == {"oci-layout", "lock"}
    assert store.put(b"new", OCTETS).size == 3


@pytest.mark.parametrize("words", [["--all"], ["--older-than", "1"], ["--all", "--json"]])
def test_whole_blobs_do_not_go_unasked(words: list[str], store: Store, blobs: dict[str, str]) -> None:
    done = ferry(store, "prune", *words, code=2)
    assert done.stderr.splitlines()[-1] == "Error: this removes whole blobs: pass --yes, or --dry-run to see them"
    assert kept(store) == set(blobs.values())


@pytest.mark.parametrize(("answer", "code"), [(b"n\n", 130), (b"y\n", 0)])
def test_a_person_is_asked(answer: bytes, code: int, store: Store, blobs: dict[str, str]) -> None:
    master, slave = pty.openpty()
    os.write(master, answer)
    done = subprocess.run(
        [sys.executable, "-m", "bundler.cli", "cache", "prune", "--all"],
        cwd=CHECKOUT,
        env={**os.environ, "LC_ALL": "C.UTF-8", "FERRY_STORE": str(store.root)},
        stdin=slave,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(slave)
    os.close(master)
    assert done.returncode == code, done.stderr
    assert "Remove it? [y/N]: " in done.stdout
    assert kept(store) == (set() if code == 0 else set(blobs.values()))


def test_all_keeps_nothing_else(store: Store, tmp_path: Path) -> None:
    done = ferry(store, "prune", "--all", "--older-than", "3", code=2)
    assert done.stderr.splitlines()[-1] == "Error: --all keeps nothing: leave --keep and --older-than out"
    done = ferry(store, "prune", "--keep", tmp_path, "--yes", code=3)
    assert done.stderr.splitlines() == [
        f"error: {tmp_path}/recipe.lock.yaml: expected a lock: No such file or directory",
        f"hint: make it with: ferry lock {tmp_path}",
    ]


@pytest.mark.parametrize("damage", [b"flipped", b""])
def test_damaged_blobs_are_found_and_go(damage: bytes, store: Store, blobs: dict[str, str]) -> None:
    store.path(blobs["zip"]).write_bytes(damage)
    seen = ferry(store, "prune", "--check", "--dry-run")
    assert f" B  damaged\n    {blobs['zip']}\n" in seen.stdout
    assert json.loads(ferry(store, "prune", "--check", "--json").stdout)["damaged"] == [blobs["zip"]]
    assert kept(store) == set(blobs.values()) - {blobs["zip"]}
    assert not (store.root / "known" / blobs["zip"]).exists()
    assert json.loads(ferry(store, "prune", "--check", "--json").stdout)["damaged"] == []


def test_a_store_in_use_is_left_alone(store: Store, blobs: dict[str, str]) -> None:
    with elsewhere(BUILD, store):
        with elsewhere(BUILD, store):
            assert json.loads(ferry(store, "show", "--json").stdout)["unfinished"]["in_use"] == 0
        done = ferry(store, "prune", "--all", "--yes", code=8)
    assert done.stderr.splitlines() == [
        f"error: {store.root}: a build is using the store",
        "hint: wait until it has ended, then run the command again",
    ]
    assert kept(store) == set(blobs.values())


@pytest.mark.parametrize("verb", ["build", "lock"])
def test_nothing_is_built_or_locked_while_the_store_is_pruned(store: Store, tmp_path: Path, verb: str) -> None:
    shutil.copytree(CHECKOUT / "recipes/hello", tmp_path / "hello", ignore=shutil.ignore_patterns("__pycache__"))
    words = [verb, tmp_path / "hello", *(["--yes", "-o", tmp_path / "out.tar"] if verb == "build" else [])]
    with elsewhere(PRUNE, store):
        keys = str(tmp_path / "keystore")
        done = run_ferry(*words, code=8, FERRY_STORE=str(store.root), FERRY_KEYSTORE=keys)
    assert done.stderr.splitlines()[-2:] == [
        f"error: {store.root}: the store is being pruned",
        "hint: wait until it has ended, then run the command again",
    ]


def test_the_store_of_an_installed_host_is_no_cache(store: Store, blobs: dict[str, str]) -> None:
    (store.root / "index.json").write_text("{}")
    done = ferry(store, "prune", "--all", "--yes", code=8)
    assert done.stderr.splitlines() == [
        f"error: {store.root}: this is the store of an installed host, not a cache",
        "hint: name the one of your builds in FERRY_STORE",
    ]
    assert kept(store) == set(blobs.values())


def test_every_digest_of_a_lock_is_found() -> None:
    digests = [hashlib.sha256(bytes([number])).hexdigest() for number in range(4)]
    file = LockedFile(name="a-1.tar.gz", size=1, sha256=digests[0], platforms=())
    package = LockedPackage(name="a", version="1", files=(file,))
    path = LockedPath(path="f", to="srv/f", size=1, sha256=digests[1], executable=False)
    whole: Lock = replace(
        lock(path), wheels=(package,), toolchain=(replace(package, files=(replace(file, sha256=digests[2]),)),)
    )
    assert named_digests(whole) == {*digests[:3], whole.sha256}
    assert named_digests((whole, [path])) == {*digests[:3], whole.sha256}
