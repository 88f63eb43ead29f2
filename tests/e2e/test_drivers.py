"""Drivers on a real host: described by the probe, chosen by the lock, installed without network, and taken back."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from command import CHECKOUT, ferry
from drivers import add_card, make_run, reason_unavailable
from machine import Machine

from bundler.target.probe import probe_script

pytestmark = [pytest.mark.e2e, pytest.mark.network]
NVIDIA = "NVIDIA-Linux-x86_64-570.124.06.run"
OLDER = "NVIDIA-Linux-x86_64-550.54.14.run"
NEWER = "NVIDIA-Linux-x86_64-595.45.04.run"
ASCEND = "Ascend-hdk-910b-npu-driver_25.2.0_linux-x86-64.run"
NOTES = "cuda 12.4 (the recipe), by NVIDIA CUDA Toolkit Release Notes 13.1 and 13.2 (Linux x86_64)"
LISTING = (
    "find / -xdev -not -path '/proc/*' -not -path '/sys/*' -not -path '/run/*' -not -path '/tmp/*' -not -path '/mnt/*' "
    "-not -path '/root/*' -not -path '/var/log/*' -not -path '/var/tmp/*' -not -path '/var/lib/systemd/*' | sort"
)


def make_recipe(directory: Path, drivers: dict[str, dict[str, Any]]) -> Path:
    """Return a copy of recipes/hello for amd64 whose payload needs CUDA 12.4 and CANN 8.5, with drivers beside it."""
    shutil.copytree(CHECKOUT / "recipes/hello", directory, ignore=shutil.ignore_patterns("__pycache__"))
    document = yaml.safe_load((directory / "recipe.yaml").read_text())
    document["platforms"] = ["linux/amd64"]
    document["accelerators"] = {"nvidia": {"cuda": "12.4"}, "ascend": {"cann": "8.5"}}
    document["drivers"] = []
    for name, more in drivers.items():
        vendor = "ascend" if name.startswith("Ascend") else "nvidia"
        version = name.split("_")[1] if vendor == "ascend" else name.split("-")[3].removesuffix(".run")
        made = make_run(directory / "made" / name, name, vendor, version, passes=True)
        made.rename(directory / name)
        digest = hashlib.sha256((directory / name).read_bytes()).hexdigest()
        plain = {"vendor": vendor, "path": name, "sha256": digest, "needs_headers": False}
        document["drivers"].append(plain | more)
    shutil.rmtree(directory / "made", ignore_errors=True)
    (directory / "recipe.yaml").write_text(yaml.safe_dump(document))
    return directory


@pytest.fixture(scope="module")
def stick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what a machine sees as its stick: the probe, cards to mount, the key; bundles come later."""
    directory = tmp_path_factory.mktemp("stick")
    (directory / "probe.sh").write_bytes(probe_script())
    add_card(directory / "gpu", "01:00.0", "10de", "20b2", "030200")
    add_card(directory / "npu", "c1:00.0", "19e5", "d802")
    add_card(directory / "mlu", "13:00.0", "cabc", "0370")
    return directory


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, stick: Path) -> Iterator[Machine]:
    reason = Machine.reason_unavailable() or reason_unavailable()
    if reason is not None:
        pytest.skip(reason)
    made = Machine.create("bookworm", tmp_path_factory.mktemp("bookworm") / "host")
    made.boot(binds_ro={stick: "/mnt/stick"})
    yield made
    made.destroy()
    shutil.rmtree(made.root, ignore_errors=True)


@pytest.fixture(scope="module")
def keystore(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {"FERRY_KEYSTORE": str(tmp_path_factory.mktemp("keys") / "keystore")}


@pytest.fixture(scope="module")
def target(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what the probe says of the machine with a card and an old driver."""
    put_cards(machine, "gpu")
    put_driver(machine, "535.54.03")
    path = probe(machine, tmp_path_factory.mktemp("target") / "bank.yaml")
    machine.run(["rm", "/usr/bin/nvidia-smi"])
    take_cards(machine)
    return path


@pytest.fixture(scope="module")
def gpu(target: Path, stick: Path, keystore: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the name of a bundle that was locked for the machine, with the driver that fits it of four."""
    directory = tmp_path_factory.mktemp("recipes") / "whole"
    recipe = make_recipe(directory, {OLDER: {}, NVIDIA: {}, NEWER: {"kernels": "<3"}, ASCEND: {}})
    locked = ferry("lock", recipe, "--target", target).stdout
    assert "nvidia 535.54.03, gets 570.124.06" in locked
    assert ", 1 drivers\n" in locked
    assert ferry("lock", recipe, "--target", target).stdout.endswith("is up to date\n")
    (chosen,) = yaml.safe_load((recipe / "recipe.lock.yaml").read_text())["drivers"]
    assert (chosen["path"], chosen["targets"]) == (NVIDIA, ["bank"])
    for name in ("gpu.tar", "again.tar"):
        ferry("build", recipe, "--yes", "-o", stick / name, **keystore)
    assert (stick / "gpu.tar").read_bytes() == (stick / "again.tar").read_bytes()
    (stick / "again.tar").unlink()
    ferry("keystore", "public", "-o", stick / "release.pem", **keystore)
    return "gpu.tar"


def put_cards(machine: Machine, kind: str) -> None:
    """Let the machine see a card: PCI as it is in a directory of the stick."""
    machine.run(["mount", "--bind", f"/mnt/stick/{kind}/sys/bus/pci/devices", "/sys/bus/pci/devices"])


def take_cards(machine: Machine) -> None:
    machine.run(["umount", "/sys/bus/pci/devices"])


def put_driver(machine: Machine, version: str) -> None:
    machine.run(
        ["sh", "-c", f"printf '#!/bin/sh\\necho {version}\\n' > /usr/bin/nvidia-smi; chmod 755 /usr/bin/nvidia-smi"]
    )


def probe(machine: Machine, path: Path) -> Path:
    path.write_text(machine.run(["sh", "/mnt/stick/probe.sh"]).stdout)
    return path


def install(machine: Machine, bundle: str, *words: str, code: int = 0):  # type: ignore[no-untyped-def]
    machine.run(["sh", "-c", f"cd /root && tar --occurrence=1 -xf /mnt/stick/{bundle} install.sh"])
    argv = ["sh", "/root/install.sh", f"/mnt/stick/{bundle}", "--trust", "/mnt/stick/release.pem", "--yes", *words]
    done = machine.run(argv, check=False, timeout_s=300)
    machine.run(["rm", "/root/install.sh"])
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def listing(machine: Machine) -> set[str]:
    return set(machine.run(["sh", "-c", LISTING]).stdout.splitlines())


def reasons(printed: str) -> dict[str, str]:
    return {step["step"]: step["reason"] for step in json.loads(printed)["steps"]}


def test_a_driver_too_old_is_refused_where_none_is_given(
    machine: Machine, target: Path, stick: Path, keystore: dict[str, str], tmp_path: Path
) -> None:
    told = [
        f"driver 535.54.03 is too old, the payload needs 550.54.14 or newer: {NOTES}; no driver is given for it",
        "hint: name one that fits under drivers in the recipe, or install one by hand: NVIDIA-Linux-x86_64-VERSION.run",
    ]
    recipe = make_recipe(tmp_path / "bare", {})
    refused = ferry("lock", recipe, "--target", target, code=4)
    assert refused.stderr.splitlines() == [f"error: drivers: bank, NVIDIA: {told[0]}", told[1]]
    ferry("lock", recipe)
    ferry("build", recipe, "--yes", "-o", stick / "bare.tar", **keystore)
    ferry("keystore", "public", "-o", stick / "release.pem", **keystore)
    put_cards(machine, "gpu")
    put_driver(machine, "535.54.03")
    before = listing(machine)
    done = install(machine, "bare.tar", code=8)
    assert done.stderr.splitlines()[-2:] == [f"error: drivers: NVIDIA: {told[0]}", told[1]]
    assert listing(machine) ^ before == set()
    machine.run(["rm", "/usr/bin/nvidia-smi"])
    take_cards(machine)


def test_a_driver_too_old_is_replaced_by_the_one_that_the_lock_chose(machine: Machine, gpu: str) -> None:
    put_cards(machine, "gpu")
    put_driver(machine, "535.54.03")
    planned = install(machine, gpu, "--dry-run", "--json").stdout
    assert reasons(planned)["drivers"] == (
        f"nvidia: driver 535.54.03 is too old, 550.54.14 or newer is needed: {NOTES}; installs 570.124.06; "
        "this cannot be undone: the package of 535.54.03 is not in the host's store"
    )
    assert machine.run(["nvidia-smi"]).stdout == "535.54.03\n"
    install(machine, gpu)
    assert machine.run(["nvidia-smi"]).stdout == "570.124.06\n"
    assert b"air gap" in machine.http(8070, "GET", "/").body
    assert json.loads(install(machine, gpu, "--json").stdout)["planned"] == 0
    log = machine.run(["cat", "/var/lib/ferry/drivers/nvidia-570.124.06.log"]).stdout
    assert "arguments: --silent --dkms\n" in log
    said = machine.run(["ferry", "host", "uninstall", "--yes"]).stdout
    assert said.splitlines()[-1] == "The driver stays: nvidia 570.124.06 (in place of 535.54.03)"
    assert machine.run(["nvidia-smi"]).stdout == "570.124.06\n"
    machine.run(["nvidia-uninstall"])
    take_cards(machine)


def test_a_driver_comes_and_goes_with_the_bundle(machine: Machine, gpu: str) -> None:
    """Every step that fails afterwards takes it back, and a host without the card is left alone."""
    files = listing(machine)
    install(machine, gpu)
    assert "drivers" not in reasons(install(machine, gpu, "--json").stdout)
    machine.run(["ferry", "host", "uninstall", "--yes"])
    assert listing(machine) ^ files == set()

    put_cards(machine, "gpu")
    dropin = "/etc/systemd/system/ferry-hello.service.d"
    machine.run(["sh", "-c", f"mkdir {dropin} && printf '[Service]\nExecStartPre=/bin/false\n' > {dropin}/a.conf"])
    done = install(machine, gpu, code=9)
    assert "step services failed; this host is as it was before" in done.stderr
    machine.run(["rm", "-r", dropin])
    assert listing(machine) ^ files == set()

    install(machine, gpu)
    assert machine.run(["nvidia-smi"]).stdout == "570.124.06\n"
    machine.run(["ferry", "host", "uninstall", "--yes"])
    assert listing(machine) ^ files == set(), "uninstall leaves nothing behind"
    take_cards(machine)


def test_a_driver_that_needs_a_reboot_goes_on_after_it(
    machine: Machine, stick: Path, keystore: dict[str, str], tmp_path: Path
) -> None:
    files = listing(machine)
    put_cards(machine, "npu")
    target = probe(machine, tmp_path / "npu.yaml")
    recipe = make_recipe(tmp_path / "recipe", {NVIDIA: {}, ASCEND: {}})
    assert "ascend none, gets 25.2.0" in ferry("lock", recipe, "--target", target).stdout
    ferry("build", recipe, "--yes", "-o", stick / "npu.tar", **keystore)
    ferry("keystore", "public", "-o", stick / "release.pem", **keystore)

    done = install(machine, "npu.tar")
    assert done.stdout.splitlines()[-1] == "Reboot this host now, then run the same command again."
    assert machine.run(["systemctl", "is-active", "ferry-hello"], check=False).stdout == "inactive\n"
    refused = install(machine, "npu.tar", code=8)
    assert "error: drivers: expected a reboot: driver 25.2.0 of Ascend works after it only" in refused.stderr

    machine.poweroff()
    machine.boot(binds_ro={stick: "/mnt/stick"})
    put_cards(machine, "npu")
    assert set(reasons(install(machine, "npu.tar", "--json").stdout)) >= {"units", "switch", "services", "health"}
    assert b"air gap" in machine.http(8070, "GET", "/").body
    machine.run(["ferry", "host", "uninstall", "--yes"])
    assert listing(machine) ^ files == set(), "uninstall leaves nothing behind"
    take_cards(machine)


def test_a_driver_in_a_debian_package_is_handled_by_dpkg(
    machine: Machine, stick: Path, keystore: dict[str, str], tmp_path: Path
) -> None:
    name = "cambricon-mlu-driver-ubuntu20.04-dkms_5.10.22_amd64.deb"
    recipe = make_recipe(tmp_path / "recipe", {})
    tree = tmp_path / "tree"
    for path, text in {
        "DEBIAN/control": (
            "Package: cambricon-mlu-driver-ubuntu20.04-dkms\nVersion: 5.10.22\nArchitecture: amd64\n"
            "Maintainer: A <a@b.example>\nDescription: A driver\n"
        ),
        "usr/bin/cnmon": "#!/bin/sh\necho '| CNMON v5.10.22                Driver v5.10.22 |'\n",
    }.items():
        (tree / path).parent.mkdir(parents=True)
        (tree / path).write_text(text)
    (tree / "usr/bin/cnmon").chmod(0o755)
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", tree, recipe / name], check=True, capture_output=True)
    document = yaml.safe_load((recipe / "recipe.yaml").read_text())
    digest = hashlib.sha256((recipe / name).read_bytes()).hexdigest()
    given = {"vendor": "cambricon", "path": name, "sha256": digest, "needs_headers": False, "systems": ["debian-12"]}
    document |= {"accelerators": {"cambricon": {"cntoolkit": "3.7.2"}}, "drivers": [given]}
    (recipe / "recipe.yaml").write_text(yaml.safe_dump(document))
    ferry("lock", recipe)
    ferry("build", recipe, "--yes", "-o", stick / "mlu.tar", **keystore)
    ferry("keystore", "public", "-o", stick / "release.pem", **keystore)

    files = listing(machine)
    put_cards(machine, "mlu")
    planned = reasons(install(machine, "mlu.tar", "--dry-run", "--json").stdout)["drivers"]
    assert "not confirmed by the vendor; installs 5.10.22; undo removes it" in planned
    install(machine, "mlu.tar")
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", "cambricon-mlu-driver-ubuntu20.04-dkms"]
    assert machine.run(query).stdout == "installed"
    machine.run(["ferry", "host", "uninstall", "--yes"])
    assert machine.run(query, check=False).returncode == 1
    kept = {path for path in listing(machine) ^ files if not path.startswith("/var/lib/dpkg/")}
    assert kept == set(), "uninstall leaves nothing behind but the books of dpkg"
    take_cards(machine)
