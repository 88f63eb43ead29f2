"""Step `drivers`: real packages of makeself on hosts in directories, with cards and tools that are files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bundles import entry, packed
from drivers import add_build, add_card, add_program, make_run, package, reason_unavailable
from hosts import Host, host_manifest, service
from ports import free_port

from bundler.errors import HostError, IntegrityError, StepError
from bundler.installer.apply import Done
from bundler.installer.cards import gather_machines, read_driver
from bundler.installer.drivers import staying_drivers
from bundler.installer.install import Outcome
from bundler.installer.own_driver import read_own
from bundler.installer.uninstall import uninstall
from bundler.model.descriptor import OCTETS, Descriptor
from bundler.model.driver import DriverNeed, DriverPackage
from bundler.model.manifest import Item

NEED = DriverNeed(vendor="nvidia", minimum="550.54.14", because="cuda 12.4 (the recipe), by a table")
INSTALL = ("sh", "{file}", "--silent", "--dkms")
UNINSTALL = ("nvidia-uninstall", "--silent")
BECAUSE = "550.54.14 or newer is needed: cuda 12.4 (the recipe), by a table"


@pytest.fixture
def packages(tmp_path: Path) -> Callable[..., Path]:
    if (reason := reason_unavailable()) is not None:
        pytest.skip(reason)

    def make(vendor: str, version: str, *, root: Path, after: str = "") -> Path:
        name = f"{vendor}-{version}.run"
        return make_run(tmp_path / "packages" / name, name, vendor, version, root=str(root), passes=True, after=after)

    return make


@pytest.fixture
def gpu(host: Host) -> Host:
    """A host with a card of NVIDIA, without a driver."""
    add_card(host.root, "01:00.0", "10de", "20b2", "030200")
    add_build(host.root)
    return host


def bundle(
    tmp_path: Path, *drivers: tuple[Path, DriverPackage], needs: tuple[DriverNeed, ...] = (NEED,), **changes: Any
) -> bytes:
    manifest, contents = host_manifest(tmp_path, changes.pop("services", ()), **changes)
    items, entries = list(manifest.items), list(manifest.entries)
    for path, what in drivers:
        data = path.read_bytes()
        one = entry("", data)
        items.append(
            Item(
                kind="driver",
                name=path.name,
                version=what.version,
                purl="pkg:generic/driver@1",
                descriptor=Descriptor(media_type=OCTETS, size=one.size, sha256=one.sha256, sm3=one.sm3),
                source=(("package", "driver"),),
                driver=what,
            )
        )
        if one.name not in contents:
            entries.append(one)
        contents = {**contents, one.name: data}
    whole = replace(manifest, items=tuple(items), entries=tuple(entries), accelerators=needs)
    return packed(whole, contents)


def nvidia(version: str, **changes: Any) -> DriverPackage:
    given = {"install": INSTALL, "uninstall": UNINSTALL, "headers": True, "tools": ("dkms", "gcc", "make"), **changes}
    return package("nvidia", version, **given)


def steps(done: tuple[Done, ...]) -> list[str]:
    return [one.action.step for one in done]


def why(outcome: Outcome) -> str:
    return next((action.reason for action in outcome.plan.actions if action.step == "drivers"), "")


def log(host: Host, name: str) -> str:
    return (host.layout.drivers / name).read_text()


def test_a_card_without_a_driver_gets_the_bundles(gpu: Host, packages: Callable[..., Path], tmp_path: Path) -> None:
    run = packages("nvidia", "570.124.06", root=gpu.root)
    made = bundle(tmp_path, (run, nvidia("570.124.06")))
    outcome = gpu.install(made)
    assert why(outcome) == f"nvidia: no driver answers, {BECAUSE}; installs 570.124.06; undo removes it"
    assert steps(outcome.done) == ["launcher", "store", "trust", "marks", "release", "drivers", "switch"]
    assert read_driver(gpu.layout, "nvidia") == "570.124.06"
    own = read_own(gpu.layout)["nvidia"]
    assert (own.file, own.before, own.is_done) == ("nvidia-570.124.06.run", "", True)
    said = log(gpu, "nvidia-570.124.06.log")
    assert said.startswith("$ sh {file} --silent --dkms\n")
    assert "arguments: --silent --dkms\n" in said
    assert said.endswith("status 0\n")
    assert sorted(path.name for path in gpu.layout.drivers.iterdir()) == ["nvidia-570.124.06.log", "nvidia.json"]
    assert gpu.install(made).plan.actions == ()


def test_a_driver_that_is_too_old_is_replaced_and_one_that_is_enough_is_left(
    gpu: Host, packages: Callable[..., Path], tmp_path: Path
) -> None:
    made = bundle(tmp_path, (packages("nvidia", "570.124.06", root=gpu.root), nvidia("570.124.06")))
    add_program(gpu.root, "nvidia-smi", "echo 550.54.15")
    assert why(gpu.install(made, dry_run=True)) == ""
    add_program(gpu.root, "nvidia-smi", "echo 535.54.03")
    outcome = gpu.install(made)
    assert why(outcome) == (
        f"nvidia: driver 535.54.03 is too old, {BECAUSE}; installs 570.124.06; "
        "this cannot be undone: the package of 535.54.03 is not in the host's store"
    )
    assert read_driver(gpu.layout, "nvidia") == "570.124.06"
    assert staying_drivers(gpu.layout) == ("nvidia 570.124.06 (in place of 535.54.03)",)


def test_a_driver_too_old_without_a_newer_one_is_refused_before_anything_changes(gpu: Host, tmp_path: Path) -> None:
    add_program(gpu.root, "nvidia-smi", "echo 535.54.03")
    before = gpu.listing()
    with pytest.raises(HostError) as refused:
        gpu.install(bundle(tmp_path))
    assert str(refused.value) == (
        "drivers: NVIDIA: driver 535.54.03 is too old, the payload needs 550.54.14 or newer: "
        "cuda 12.4 (the recipe), by a table; no driver is given for it"
    )
    assert refused.value.hint == (
        "name one that fits under drivers in the recipe, or install one by hand: NVIDIA-Linux-x86_64-VERSION.run"
    )
    assert gpu.listing() == before


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda root: (root / "usr/bin/dkms").unlink(), "the host lacks dkms"),
        (lambda root: next((root / "lib/modules").glob("*/build")).rmdir(), "the host lacks the headers of kernel"),
        (lambda root: (root / "sys/module/nouveau").mkdir(parents=True), "the module nouveau is loaded"),
    ],
)
def test_a_host_that_cannot_build_modules_is_refused(
    gpu: Host, packages: Callable[..., Path], tmp_path: Path, spoil: Callable[[Path], object], told: str
) -> None:
    made = bundle(tmp_path, (packages("nvidia", "570.26", root=gpu.root), nvidia("570.26", conflicts=("nouveau",))))
    spoil(gpu.root)
    before = gpu.listing()
    with pytest.raises(HostError) as refused:
        gpu.install(made)
    assert str(refused.value).startswith(f"drivers: NVIDIA: driver 570.26 cannot be installed: {told}")
    assert gpu.listing() == before


def test_secure_boot_refuses_unsigned_modules(gpu: Host, packages: Callable[..., Path], tmp_path: Path) -> None:
    variable = gpu.root / "sys/firmware/efi/efivars/SecureBoot-8be4df61"
    variable.parent.mkdir(parents=True)
    variable.write_bytes(b"\6\0\0\0\1")
    run = packages("nvidia", "570.26", root=gpu.root)
    with pytest.raises(HostError, match="secure boot is on and refuses modules that nobody signed"):
        gpu.install(bundle(tmp_path, (run, nvidia("570.26"))))
    gpu.install(bundle(tmp_path, (run, nvidia("570.26", signed=True))))
    assert read_driver(gpu.layout, "nvidia") == "570.26"


def test_a_host_without_the_card_gets_nothing(host: Host, packages: Callable[..., Path], tmp_path: Path) -> None:
    add_card(host.root, "01:00.0", "19e5", "a222", "020000")
    add_card(host.root, "02:00.0", "10de", "10f7", "040300")
    outcome = host.install(bundle(tmp_path, (packages("nvidia", "570.26", root=host.root), nvidia("570.26"))))
    assert why(outcome) == ""
    assert read_driver(host.layout, "nvidia") == ""
    assert gather_machines(host.layout, ("debian", "12")) == {}


def test_a_later_step_that_fails_takes_the_driver_back(
    gpu: Host, packages: Callable[..., Path], tmp_path: Path
) -> None:
    run = packages("nvidia", "570.26", root=gpu.root)
    broken = service("agent", free_port())
    made = bundle(tmp_path, (run, nvidia("570.26")), services=(broken,))
    gpu.systemd.broken.add("ferry-agent.service")
    before = gpu.listing()
    with pytest.raises(HostError) as refused:
        gpu.install(made)
    assert (refused.value.hint or "").endswith("this host is as it was before")
    assert gpu.listing() == before


def test_a_package_that_fails_is_told_with_its_last_words(
    gpu: Host, packages: Callable[..., Path], tmp_path: Path
) -> None:
    run = packages("nvidia", "570.26", root=gpu.root)
    before = gpu.listing()
    with pytest.raises(StepError) as refused:
        gpu.install(bundle(tmp_path, (run, nvidia("570.26", install=("sh", "{file}", "--silent", "--fail")))))
    assert str(refused.value).startswith(
        "drivers: `sh {file} --silent --fail` of nvidia-570.26.run ended with status 3:\n"
    )
    assert "no such card" in str(refused.value)
    assert gpu.listing() == before


def test_a_driver_that_does_not_answer_as_the_new_one_is_removed(
    gpu: Host, packages: Callable[..., Path], tmp_path: Path
) -> None:
    run = packages("nvidia", "570.26", root=gpu.root)
    before = gpu.listing()
    with pytest.raises(StepError) as refused:
        gpu.install(bundle(tmp_path, (run, nvidia("570.30"))))
    assert str(refused.value) == "drivers: expected driver 570.30 of nvidia to answer, got 570.26"
    assert (refused.value.hint or "").startswith("an old module may still be loaded: reboot, and install again; ")
    assert gpu.listing() == before


def test_a_later_bundle_brings_a_newer_driver_and_undo_installs_the_earlier_again(
    gpu: Host, packages: Callable[..., Path], tmp_path: Path
) -> None:
    first = packages("nvidia", "550.54.14", root=gpu.root)
    second = packages("nvidia", "570.26", root=gpu.root)
    gpu.install(bundle(tmp_path, (first, nvidia("550.54.14"))))
    newer = replace(NEED, minimum="570.26")
    made = bundle(
        tmp_path,
        (second, nvidia("570.26")),
        needs=(newer,),
        sequence=2,
        version="2.0",
        services=(service("agent", free_port()),),
    )
    gpu.systemd.broken.add("ferry-agent.service")
    with pytest.raises(HostError) as refused:
        gpu.install(made)
    after = "step health failed; this host is as it was before; sample 1.0 (release 1) runs again"
    assert refused.value.hint == after
    assert read_driver(gpu.layout, "nvidia") == "550.54.14"
    gpu.systemd.broken.clear()
    outcome = gpu.install(made)
    assert "installs 570.26; undo installs 550.54.14 again" in why(outcome)
    assert read_driver(gpu.layout, "nvidia") == "570.26"
    assert read_own(gpu.layout)["nvidia"].before == "", "what was there before Ferry's first driver counts"
    uninstall(gpu.layout, gpu.systemd)
    assert read_driver(gpu.layout, "nvidia") == ""


def test_what_cannot_be_undone_is_told_before_and_after(
    gpu: Host, packages: Callable[..., Path], tmp_path: Path
) -> None:
    add_program(gpu.root, "nvidia-smi", "echo 535.54.03")
    made = bundle(
        tmp_path,
        (packages("nvidia", "570.26", root=gpu.root), nvidia("570.26")),
        services=(service("agent", free_port()),),
    )
    gpu.systemd.broken.add("ferry-agent.service")
    with pytest.raises(HostError) as refused:
        gpu.install(made)
    assert gpu.asked is not None
    assert "this cannot be undone: the package of 535.54.03" in gpu.asked[0].actions[5].reason
    assert "drivers: drivers: driver 570.26 stays: the package of 535.54.03 is not here" in (refused.value.hint or "")
    assert read_driver(gpu.layout, "nvidia") == "570.26"


def test_a_driver_that_works_after_a_reboot_ends_the_plan(
    host: Host, packages: Callable[..., Path], tmp_path: Path
) -> None:
    add_card(host.root, "c1:00.0", "19e5", "d802")
    add_build(host.root)
    boot = host.root / "proc/sys/kernel/random/boot_id"
    boot.parent.mkdir(parents=True)
    boot.write_text("11111111-2222-3333-4444-555555555555\n")
    need = DriverNeed(vendor="ascend", minimum="25.0.RC1", because="cann 8.5 (the recipe), by a table")
    npu = package(
        "ascend",
        "25.2.0",
        install=("sh", "{file}", "--full", "--quiet", "--install-for-all", "--nox11"),
        upgrade=("sh", "{file}", "--upgrade", "--quiet", "--nox11"),
        uninstall=("sh", "{file}", "--uninstall", "--quiet", "--nox11"),
        cards=("d802",),
        reboot=True,
    )
    made = bundle(tmp_path, (packages("ascend", "25.2.0", root=host.root), npu), needs=(need,))
    outcome = host.install(made)
    assert outcome.plan.reboot
    assert steps(outcome.done) == ["launcher", "store", "trust", "marks", "release", "drivers"]
    assert "installs 25.2.0; it works after a reboot only; undo removes it" in why(outcome)
    assert "arguments: --full --quiet --install-for-all --nox11\n" in log(host, "ascend-25.2.0.log")
    assert not host.layout.current.exists()

    with pytest.raises(HostError) as refused:
        host.install(made)
    assert str(refused.value) == "drivers: expected a reboot: driver 25.2.0 of Ascend works after it only"
    assert refused.value.hint == "reboot this host, then run the install again: it goes on where it ended"

    boot.write_text("66666666-2222-3333-4444-555555555555\n")
    outcome = host.install(made)
    assert not outcome.plan.reboot
    assert steps(outcome.done) == ["switch"]
    assert read_driver(host.layout, "ascend") == "25.2.0"
    uninstall(host.layout, host.systemd)
    assert read_driver(host.layout, "ascend") == ""


def test_an_upgrade_uses_the_vendors_own_words(host: Host, packages: Callable[..., Path], tmp_path: Path) -> None:
    add_card(host.root, "c1:00.0", "19e5", "d802")
    version = host.root / "usr/local/Ascend/driver/version.info"
    version.parent.mkdir(parents=True)
    version.write_text("Version=24.1.rc2\n")
    npu = package("ascend", "25.2.0", upgrade=("sh", "{file}", "--upgrade", "--quiet"))
    need = DriverNeed(vendor="ascend", minimum="25.0.RC1", because="cann 8.5 (the recipe), by a table")
    host.install(bundle(tmp_path, (packages("ascend", "25.2.0", root=host.root), npu), needs=(need,)))
    assert "arguments: --upgrade --quiet\n" in log(host, "ascend-25.2.0.log")


def test_statuses_that_the_vendor_calls_good_are_taken(
    gpu: Host, packages: Callable[..., Path], tmp_path: Path
) -> None:
    run = packages("nvidia", "570.26", root=gpu.root, after="exit 2")
    with pytest.raises(StepError, match="ended with status 2"):
        gpu.install(bundle(tmp_path, (run, nvidia("570.26"))))
    gpu.install(bundle(tmp_path, (run, nvidia("570.26", statuses=("0", "2")))))
    assert read_driver(gpu.layout, "nvidia") == "570.26"


def test_a_run_that_was_cut_off_within_a_package_is_done_again(
    gpu: Host, packages: Callable[..., Path], tmp_path: Path
) -> None:
    run = packages("nvidia", "570.26", root=gpu.root)
    made = bundle(tmp_path, (run, nvidia("570.26")))
    gpu.install(made)
    record = gpu.layout.drivers / "nvidia.json"
    half = json.loads(record.read_text()) | {"is_done": False}
    record.write_text(json.dumps(half))
    (gpu.root / "usr/bin/nvidia-smi").unlink()
    outcome = gpu.install(made)
    assert steps(outcome.done) == ["drivers"]
    assert read_own(gpu.layout)["nvidia"].is_done


def test_bytes_that_changed_in_the_store_are_not_run(gpu: Host, packages: Callable[..., Path], tmp_path: Path) -> None:
    run = packages("nvidia", "570.26", root=gpu.root)
    made = bundle(tmp_path, (run, nvidia("570.26")))
    gpu.install(made)
    blob = gpu.layout.store / "blobs/sha256" / read_own(gpu.layout)["nvidia"].sha256
    data = blob.read_bytes()
    (gpu.root / "usr/bin/nvidia-smi").unlink()
    blob.chmod(0o644)
    blob.write_bytes(data.replace(b"install.sh", b"insta11.sh", 1))
    with pytest.raises(IntegrityError, match=f"^{re.escape(str(blob))}: expected sha256 "):
        gpu.install(made)
    assert read_driver(gpu.layout, "nvidia") == ""


def test_a_damaged_record_is_refused(gpu: Host, packages: Callable[..., Path], tmp_path: Path) -> None:
    made = bundle(tmp_path, (packages("nvidia", "570.26", root=gpu.root), nvidia("570.26")))
    gpu.install(made)
    record = gpu.layout.drivers / "nvidia.json"
    for damaged in ("{", "[]", record.read_text().replace("nvidia-570.26.run", "../x")):
        record.write_text(damaged)
        with pytest.raises(IntegrityError, match=f"^{re.escape(str(record))}"):
            gpu.install(made)
        assert staying_drivers(gpu.layout) == ()
    with pytest.raises(IntegrityError) as refused:
        uninstall(gpu.layout, gpu.systemd)
    assert refused.value.hint == "to leave drivers as they are: ferry host uninstall --keep-drivers"
    uninstall(gpu.layout, gpu.systemd, keep_drivers=True)
    assert not gpu.layout.state.exists()


def test_an_uninstall_may_leave_drivers(gpu: Host, packages: Callable[..., Path], tmp_path: Path) -> None:
    gpu.install(bundle(tmp_path, (packages("nvidia", "570.26", root=gpu.root), nvidia("570.26"))))
    assert staying_drivers(gpu.layout) == ()
    assert staying_drivers(gpu.layout, keep=True) == ("nvidia 570.26 (as asked)",)
    uninstall(gpu.layout, gpu.systemd, keep_drivers=True)
    assert read_driver(gpu.layout, "nvidia") == "570.26"
    assert not gpu.layout.state.exists()


def test_a_driver_that_does_not_go_is_told_with_what_to_do(
    gpu: Host, packages: Callable[..., Path], tmp_path: Path
) -> None:
    gpu.install(bundle(tmp_path, (packages("nvidia", "570.26", root=gpu.root), nvidia("570.26"))))
    add_program(gpu.root, "nvidia-uninstall", "echo 'the module is in use'; exit 1")
    with pytest.raises(StepError) as refused:
        uninstall(gpu.layout, gpu.systemd)
    assert str(refused.value) == (
        "drivers: `nvidia-uninstall --silent` of nvidia-570.26.run ended with status 1:\nthe module is in use"
    )
    assert refused.value.hint == "to leave drivers as they are: ferry host uninstall --keep-drivers"


def test_facts_come_from_pci_and_from_the_vendors_own_words(host: Host) -> None:
    add_card(host.root, "01:00.0", "10de", "20b2", "030200")
    add_card(host.root, "02:00.0", "10de", "20b2", "030200")
    add_card(host.root, "03:00.0", "1e3e", "0001", "120000")
    add_card(host.root, "04:00.0", "cabc", "0370", "120000")
    version = host.root / "proc/driver/nvidia/version"
    version.parent.mkdir(parents=True)
    version.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.54.03  Tue Jun  6 2023\n")
    add_program(host.root, "nvidia-smi", "echo 570.26")
    corex = host.root / "usr/local/corex/bin"
    corex.mkdir(parents=True)
    library = host.root / "usr/local/corex/lib64"
    (corex / "ixsmi").write_text(
        f'#!/bin/sh\n[ "$LD_LIBRARY_PATH" = "{library}" ] && echo "| IX-ML: 4.4.0  Driver Version: 4.4.0  CUDA |"\n'
    )
    (corex / "ixsmi").chmod(0o755)
    add_program(host.root, "cnmon", "echo no card >&2; exit 1")
    found = gather_machines(host.layout, ("debian", "12"))
    assert {name: (one.devices, one.driver) for name, one in found.items()} == {
        "nvidia": (("20b2", "20b2"), "535.54.03"),
        "iluvatar": (("0001",), "4.4.0"),
        "cambricon": (("0370",), ""),
    }
    assert (found["nvidia"].headers, found["nvidia"].tools, found["nvidia"].secure_boot) == (False, frozenset(), "none")
