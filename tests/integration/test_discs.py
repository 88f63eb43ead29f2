"""Volumes on real media: images that xorriso writes and a host mounts, archives that the real 7z reads and writes."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from bundles import SIGNER
from hosts import Host, host_bundle, service
from ports import free_port
from volumes import NOW, POLICY, cut_striped, striped_bundle

from bundler.checks import Reading
from bundler.encrypt import encrypt
from bundler.errors import HostError, RecipeError, StepError
from bundler.installer.status import read_status
from bundler.iso import Iso
from bundler.medium import Medium
from bundler.volumes import split, verify_volume

WORD = "correct horse"


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def call(*words: object) -> str:
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr or done.stdout
    return done.stdout


@contextmanager
def mounted(image: Path, place: Path) -> Iterator[Path]:
    """Mount an image by the kernel's loop device, or by fuseiso where the kernel does not know the file system."""
    place.mkdir()
    kernel = "iso9660" in Path("/proc/filesystems").read_text()
    if os.geteuid() != 0:
        pytest.skip("mounting an image needs root")
    if kernel:
        call("mount", "-o", "loop,ro", image, place)
    else:
        program("fuseiso")
        call("fuseiso", image, place)
    try:
        yield place
    finally:
        for _ in range(50):
            if subprocess.run(["umount", str(place)], capture_output=True, check=False).returncode == 0:
                break
            time.sleep(0.1)


def discs(directory: Path, *, parity: int = 0, size: int = 3_500_000) -> list[Path]:
    program("xorriso")
    (directory / "s.tar").write_bytes(striped_bundle()[0])
    paths = split(
        directory / "s.tar",
        directory,
        volume_bytes=size,
        policy=POLICY,
        now=NOW,
        reading=Reading(),
        parity=parity,
        form=Iso(),
    )
    (directory / "s.tar").unlink()
    return list(paths)


def test_images_hold_the_volumes_and_what_checks_them(tmp_path: Path) -> None:
    images = discs(tmp_path, parity=1)
    assert [path.name for path in images] == [
        *("s.vol1of4.iso", "s.vol2of4.iso", "s.vol3of4.iso", "s.vol4of4.iso", "s.parity1of1.iso"),
    ]
    assert all(path.stat().st_size <= 3_500_000 for path in images)
    plain, out = tmp_path / "plain", tmp_path / "out"
    plain.mkdir()
    for number, image in enumerate(images, 1):
        assert f"Volume Id    : SAMPLE_{number}\n" in call("xorriso", "-indev", image, "-pvd_info")
        call("xorriso", "-osirrox", "on", "-indev", image, "-extract", "/", out)
        volume = f"{image.stem}.tar"
        assert sorted(path.name for path in out.iterdir()) == sorted(
            ["README.txt", "ferry.json", "ferry.json.sig", "install.sh", volume]
        )
        label = verify_volume(out / volume, POLICY, now=NOW).label
        assert label.number == number
        if number == 1:
            room = label.volume_bytes
            expected = {path.name: path.read_bytes() for path in cut_striped(plain, parity=1, size=room)}
        assert (out / volume).read_bytes() == expected[volume]
        shutil.rmtree(out)


def test_the_first_contact_with_a_disc(tmp_path: Path) -> None:
    """The lines of its README, run by a shell on the disc's files."""
    image = discs(tmp_path)[0]
    (tmp_path / "PUB.pem").write_text(SIGNER.public.pem())
    with mounted(image, tmp_path / "disc") as disc:
        lines = [line.strip() for line in (disc / "README.txt").read_text().splitlines() if line.startswith("  ")]
        signature, script = (line for line in lines if line.startswith(("openssl", "grep")))
        for line, says in ((signature.replace("PUB.pem", "../PUB.pem"), "Verified OK\n"), (script, "1\n")):
            done = subprocess.run(["sh", "-c", line], cwd=disc, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stdout) == (0, says)


def test_the_same_cut_gives_the_same_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = []
    for name, mask in (("one", 0o022), ("two", 0o077)):
        (tmp_path / name).mkdir()
        before = os.umask(mask)
        monkeypatch.setenv("TZ", "Asia/Shanghai" if mask == 0o077 else "UTC")
        try:
            images = discs(tmp_path / name, parity=1)
        finally:
            os.umask(before)
        digests.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in images])
        time.sleep(1.1)
    assert digests[0] == digests[1]


def smallest_discs(bundle: Path) -> tuple[Path, ...]:
    """Cut a bundle into images as small as they can be, with one of parity."""
    for size in range(1_060_000, 1_400_000, 1000):
        with suppress(RecipeError):
            return split(
                bundle,
                bundle.parent,
                volume_bytes=size,
                policy=POLICY,
                now=NOW,
                reading=Reading(),
                parity=1,
                form=Iso(),
            )
    raise AssertionError(bundle)


def test_a_host_installs_from_mounted_discs_one_of_them_lost(tmp_path: Path) -> None:
    program("xorriso")
    host = Host(tmp_path / "host")
    bundle = host_bundle(tmp_path, [service("app", free_port())])
    (tmp_path / "app.tar").write_bytes(bundle)
    images = smallest_discs(tmp_path / "app.tar")
    assert len(images) > 2
    with ExitStack() as stack:
        places = [
            stack.enter_context(mounted(image, tmp_path / f"disc{number}"))
            for number, image in enumerate(images)
            if number != 1
        ]
        rest = iter([*places[1:], None])
        host.ask = lambda numbers, count, place: next(rest)
        host.install(next(places[0].glob("*.tar")))
    assert read_status(host.layout, host.systemd).is_healthy
    host.close()


def test_a_host_without_xorriso(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError) as caught:
        Iso()
    assert str(caught.value) == 'expected the program "xorriso", it is not installed'
    assert caught.value.hint == "apt-get install xorriso"


def test_an_image_that_cannot_be_written_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A xorriso that fails, as one on a full disk does."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/xorriso").write_text("#!/bin/sh\necho 'xorriso : FATAL : no space' >&2\nexit 5\n")
    (tmp_path / "bin/xorriso").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    (tmp_path / "out").mkdir()
    with pytest.raises(StepError) as caught:
        discs(tmp_path / "out")
    assert "ended with status 5:\nxorriso : FATAL : no space" in str(caught.value)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["s.tar"]


def test_the_real_7z_reads_what_is_written(tmp_path: Path) -> None:
    sevenzip = program("7z")
    (tmp_path / "s.tar").write_bytes(striped_bundle()[0])
    first, *rest = encrypt(
        tmp_path / "s.tar",
        tmp_path,
        password=WORD,
        volume_bytes=2_000_000,
        policy=POLICY,
        now=NOW,
        reading=Reading(),
    )
    assert [path.name for path in rest] == ["s.7z.002", "s.7z.003", "s.7z.004"]
    listing = call(sevenzip, "l", "-slt", f"-p{WORD}", first)
    assert "Method = Copy 7zAES:19" in listing
    assert "Encrypted = +" in listing
    call(sevenzip, "x", f"-p{WORD}", f"-o{tmp_path / 'out'}", first)
    assert (tmp_path / "out/s.tar").read_bytes() == striped_bundle()[0]
    wrong = subprocess.run([sevenzip, "l", "-pwrong", str(first)], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2


@pytest.mark.parametrize("options", [("-mhe=on",), ("-mhe=off",), ("-mhe=on", "-v2m"), ("-mhe=on", "-mhc=off")])
def test_what_the_real_7z_writes_is_read_in_place(tmp_path: Path, options: tuple[str, ...]) -> None:
    sevenzip = program("7z")
    (tmp_path / "s.tar").write_bytes(striped_bundle()[0])
    call(sevenzip, "a", f"-p{WORD}", "-mx0", *options, tmp_path / "s.7z", tmp_path / "s.tar")
    first = tmp_path / ("s.7z.001" if "-v2m" in options else "s.7z")
    Medium(first, password=lambda: WORD).verify(POLICY, now=NOW)
