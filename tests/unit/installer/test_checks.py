"""Each check of a host: what it says of a good one, and of one with one thing wrong."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hosts import PYTHON, Host, host_manifest, service

from bundler.accelerators.decide import Machine
from bundler.errors import HostError
from bundler.installer.facts import Facts, Space
from bundler.installer.own_driver import OwnDriver
from bundler.installer.plan import make_plan
from bundler.installer.preflight.check import Level, State, Verdict, View
from bundler.installer.preflight.host import check_findings
from bundler.installer.preflight.readings import DIRECTORIES, UNITS, Place, Readings, read_host
from bundler.installer.preflight.table import CHECKS, GROUPS, examine
from bundler.installer.release import Release
from bundler.installer.runtimes import RuntimeFact
from bundler.installer.wanted import want
from bundler.model.driver import DriverNeed, DriverPackage
from bundler.model.escort import Escort
from bundler.model.firewall import Firewall
from bundler.verify import read_trust

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
MIB = 1024 * 1024
X86 = "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3 avx2"
GOOD = {
    "/etc/environment": "LANG=C.UTF-8\n",
    "/etc/hosts": "127.0.0.1 localhost\n127.0.1.1 bank-01 # this host\n",
    "/etc/passwd": "root:x:0:0::/root:/bin/sh\n",
    "/proc/cpuinfo": f"processor : 0\nflags\t\t: {X86}\nFeatures\t: fp asimd\n",
    "/proc/loadavg": "0.10 0.20 0.30 1/100 1\n",
    "/proc/meminfo": "MemTotal: 8000000 kB\nMemAvailable: 6000000 kB\nSwapTotal: 1000000 kB\nSwapFree: 900000 kB\n",
    "/proc/self/mounts": "/dev/sda / ext4 rw 0 0\n",
    "/proc/sys/crypto/fips_enabled": "0\n",
    "/proc/sys/fs/file-max": "999999\n",
    "/proc/sys/fs/inotify/max_user_instances": "128\n",
    "/proc/sys/fs/inotify/max_user_watches": "8192\n",
    "/proc/sys/fs/nr_open": "1048576\n",
    "/proc/sys/kernel/core_pattern": "|/usr/lib/systemd/systemd-coredump\n",
    "/proc/sys/kernel/hostname": "bank-01\n",
    "/proc/sys/kernel/pid_max": "4194304\n",
    "/proc/sys/kernel/random/entropy_avail": "256\n",
    "/proc/sys/kernel/threads-max": "99999\n",
    "/proc/sys/net/core/somaxconn": "4096\n",
    "/proc/sys/net/ipv4/ip_forward": "1\n",
    "/proc/sys/net/ipv4/ip_local_port_range": "32768\t60999\n",
    "/proc/sys/user/max_user_namespaces": "9999\n",
    "/proc/sys/vm/max_map_count": "65530\n",
    "/proc/sys/vm/overcommit_memory": "0\n",
    "/proc/sys/vm/swappiness": "10\n",
    "/sys/class/net/lo/flags": "0x9\n",
    "/sys/class/rtc/rtc0/since_epoch": f"{int(NOW.timestamp())}\n",
    "/sys/fs/cgroup/cgroup.controllers": "cpu memory pids\n",
    "/sys/fs/selinux/enforce": "0",
    "/sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
    "/sys/kernel/security/lockdown": "[none] integrity\n",
    "/sys/module/apparmor/parameters/enabled": "Y\n",
}
ROOM = Place(
    at="/",
    owner=0,
    mode=0o755,
    is_link=False,
    kind="ext4",
    options=("rw",),
    total_bytes=99999 * MIB,
    free_bytes=9999 * MIB,
    inodes=1_000_000,
    free_inodes=900_000,
)
UNITS_HERE = {
    unit: "active" if unit in ("auditd.service", "chrony.service", "nftables.service") else "" for unit in UNITS
}
READINGS = Readings(
    texts=GOOD,
    there=frozenset({"/etc/localtime", "/var/log/journal"}),
    places=dict.fromkeys(DIRECTORIES, ROOM),
    units=UNITS_HERE,
    programs={"openssl": "3.0.15", "tar": "1.34", "systemctl": "252", "podman": "4.3.1"},
)
CARD = Machine(
    devices=("2330",), driver="570.26", kernel="6.1.0-1", system=("debian", "12"), headers=True, secure_boot="off"
)


@pytest.fixture
def view(host: Host, facts: Facts, tmp_path: Path) -> View:
    here = replace(
        facts,
        os_id="debian",
        os_version="12",
        machine="x86_64",
        glibc="glibc 2.36",
        has_systemd=True,
        packages={"bash": "5"},
        ports={},
        machines={"nvidia": CARD},
        runtime=RuntimeFact(name="podman"),
        launcher="",
    )
    manifest, _ = host_manifest(tmp_path, [replace(service("agent", 8090), memory_max_mib=512)])
    need = DriverNeed(vendor="nvidia", minimum="550", because="CUDA 12.4")
    manifest = replace(manifest, created="2026-11-01T00:00:00Z", accelerators=(need,))
    wanted = want(manifest, "0" * 64, read_trust(host.trust), here, changes={}, python=PYTHON)
    room = Space(device=1, free_bytes=9999 * MIB)
    here = replace(here, store_space=room, programs_space=room, system_space=room)
    return View(readings=READINGS, facts=here, now=NOW, plan=make_plan(wanted, here))


def test_a_good_host_passes_all(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    found = examine(view)
    bad = {one.check.name: (one.verdict.state, one.verdict.told.english) for one in found}
    assert {name: why for name, why in bad.items() if why[0] is not State.PASSED} == {}


def test_names_are_unique_and_each_speaks_both_languages() -> None:
    assert len(CHECKS) == len({check.name for check in CHECKS}) >= 50
    for check in CHECKS:
        assert check.group in GROUPS
        assert check.title.english
        assert check.title.chinese


def with_text(path: str, text: str | None) -> Callable[[View], View]:
    def change(view: View) -> View:
        texts = {name: old for name, old in GOOD.items() if name != path} | ({} if text is None else {path: text})
        return replace(view, readings=replace(READINGS, texts=texts))

    return change


def with_readings(**changes: Any) -> Callable[[View], View]:
    return lambda view: replace(view, readings=replace(READINGS, **changes))


def with_place(path: str, **changes: Any) -> Callable[[View], View]:
    return with_readings(places={**READINGS.places, path: replace(ROOM, at=path, **changes)})


def with_facts(**changes: Any) -> Callable[[View], View]:
    return lambda view: replace(view, facts=replace(view.facts, **changes))


def with_card(**changes: Any) -> Callable[[View], View]:
    return with_facts(machines={"nvidia": replace(CARD, **changes)})


def with_plan(**changes: Any) -> Callable[[View], View]:
    def change(view: View) -> View:
        assert view.plan is not None
        return replace(view, plan=replace(view.plan, **changes))

    return change


def at(now: datetime) -> Callable[[View], View]:
    return lambda view: replace(view, now=now)


def small(view: View) -> View:
    room = Space(device=1, free_bytes=100 * MIB)
    view = with_facts(store_space=room, programs_space=room)(view)
    return with_plan(store_bytes=100 * MIB, tree_bytes=0, packages_bytes=0)(view)


def other_product(view: View) -> View:
    release = Release(
        number=1,
        name="other",
        version="1",
        sequence=1,
        manifest_sha256="1" * 64,
        keyid="0" * 64,
        algorithm="sm3",
        files=(),
        installed="2026-01-01T00:00:00Z",
    )
    return with_facts(releases=(release,), current=1)(view)


def no_nft(view: View) -> View:
    assert view.plan is not None
    manifest = replace(view.plan.wanted.manifest, escort=Escort(firewall=Firewall(covers="services")))
    plan = replace(view.plan, wanted=replace(view.plan.wanted, manifest=manifest))
    return replace(view, plan=plan, facts=replace(view.facts, programs=frozenset()))


def rpm_only(view: View) -> View:
    return with_facts(packages=None, rpms={"bash": "5"})(with_items(view, "deb"))


def with_items(view: View, kind: str) -> View:
    assert view.plan is not None
    wanted = view.plan.wanted
    item = replace(wanted.manifest.items[0], kind=kind, name=f"a.{kind}")
    manifest = replace(wanted.manifest, items=(*wanted.manifest.items, item))
    return replace(view, plan=replace(view.plan, wanted=replace(wanted, manifest=manifest)))


def no_runtime(view: View) -> View:
    assert view.plan is not None
    wanted = view.plan.wanted
    wanted = replace(wanted, manifest=replace(wanted.manifest, images_needed=True))
    return with_facts(runtime=None)(replace(view, plan=replace(view.plan, wanted=wanted, idle_images=1)))


def two_vendors(view: View) -> View:
    return with_facts(machines={"nvidia": CARD, "ascend": replace(CARD, driver="25.2.0")})(view)


def in_range(view: View) -> View:
    return with_text("/proc/sys/net/ipv4/ip_local_port_range", "1024 60999\n")(view)


def reboots(view: View) -> View:
    own = OwnDriver(
        package=DriverPackage(vendor="nvidia", version="570.26", install=("sh",), reboot=True),
        file="a.run",
        sha256="0" * 64,
        before="",
        boot="this-boot",
        is_done=True,
    )
    return with_facts(own_drivers={"nvidia": own}, boot="this-boot")(view)


def sysctl_text(name: str, value: str) -> Callable[[View], View]:
    return with_text("/proc/sys/" + name.replace(".", "/"), value)


WRONG: list[tuple[str, Callable[[View], View], str]] = [
    ("os-release", with_facts(os_id="slackware"), 'expected a known distribution, got "slackware"'),
    ("architecture", with_facts(machine="aarch64"), "expected a host of x86_64, this is aarch64"),
    (
        "glibc",
        with_facts(glibc="glibc 2.12"),
        "expected glibc 2.17 or newer for drivers and host programs, got 2.12",
    ),
    ("init", with_facts(has_systemd=False), "expected systemd as process 1, /run/systemd/system is not there"),
    (
        "systemd-version",
        with_readings(programs={"systemctl": "219"}),
        "expected systemd 235 or newer, got 219: services run as users of its making",
    ),
    (
        "systemd-recent",
        with_readings(programs={"systemctl": "241"}),
        "expected systemd 247 or newer, got 241: credentials and some hardening are not known to it",
    ),
    (
        "container",
        with_text("/run/systemd/container", "systemd-nspawn\n"),
        "expected a host or a virtual machine, this is a container of systemd-nspawn",
    ),
    (
        "reboot-due",
        with_readings(there=frozenset({"/run/reboot-required"})),
        "expected no reboot to be due, /run/reboot-required is there",
    ),
    ("openssl", with_readings(programs={}), "expected openssl, it is not here"),
    ("tar", with_readings(programs={}), "expected tar, it is not here"),
    (
        "fips",
        with_text("/proc/sys/crypto/fips_enabled", "1\n"),
        "expected the kernel's FIPS mode off: OpenSSL then refuses SM2, SM3 and SM4",
    ),
    (
        "cpu-flags",
        with_text("/proc/cpuinfo", "flags : cx16 popcnt sse4_1 lahf_lm ssse3\n"),
        "expected the processor's sse4_2: wheels for numbers end with an illegal instruction",
    ),
    (
        "cpu-vectors",
        with_text("/proc/cpuinfo", "flags : cx16\n"),
        "expected AVX2, this processor has none: models and hashes run slower",
    ),
    (
        "load",
        with_text("/proc/loadavg", "99.00 5000.00 1.00 1/100 1\n"),
        f"expected a load of at most {2 * (os.cpu_count() or 1)} over five minutes, got 5000",
    ),
    ("memory", with_text("/proc/meminfo", "MemTotal: 524288 kB\n"), "expected at least 900 MiB of memory, got 512 MiB"),
    (
        "memory-ample",
        with_text("/proc/meminfo", "MemTotal: 2097152 kB\n"),
        "expected at least 3500 MiB of memory for an agent platform, got 2048 MiB",
    ),
    (
        "memory-services",
        with_text("/proc/meminfo", "MemTotal: 262144 kB\n"),
        "expected at least 512 MiB of memory for the services' limits in sum, got 256 MiB",
    ),
    (
        "memory-available",
        with_text("/proc/meminfo", "MemAvailable: 1024 kB\n"),
        "expected at least 512 MiB to be available now, got 1 MiB",
    ),
    (
        "swap",
        with_text("/proc/meminfo", "SwapTotal: 1048576 kB\nSwapFree: 1024 kB\n"),
        "expected less than half of the swap to be in use, got 1023 of 1024 MiB",
    ),
    (
        "clock",
        at(datetime(1970, 1, 1, tzinfo=UTC)),
        "expected a clock between 2025 and 2050, it says 1970-01-01",
    ),
    (
        "clock-bundle",
        at(datetime(2026, 10, 1, tzinfo=UTC)),
        "expected a clock later than the bundle, locked at 2026-11-01T00:00:00Z, it says 2026-10-01T00:00:00Z",
    ),
    (
        "clock-hardware",
        at(NOW + timedelta(hours=1)),
        "expected system and hardware clock to agree within 300 s, they differ by 3600 s",
    ),
    (
        "clock-service",
        with_readings(units=dict.fromkeys(UNITS, "inactive")),
        "expected a time service, none runs or none is in step",
    ),
    (
        "time-zone",
        with_readings(there=frozenset()),
        "expected a time zone, /etc/localtime is not there: logs are in UTC",
    ),
    (
        "disk-space",
        small,
        "/var/lib/ferry: expected 164 MiB free, got 100 MiB: 64 MiB are missing",
    ),
    ("inodes", with_place("/opt/ferry", free_inodes=7), "expected 20000 free inodes, got /opt/ferry: 7"),
    (
        "disk-writable",
        with_place("/etc", options=("ro",)),
        "expected /etc to be writable, it is mounted with ro",
    ),
    (
        "disk-executable",
        with_place("/opt/ferry", options=("rw", "noexec")),
        "expected /opt/ferry to let programs run, it is mounted with noexec",
    ),
    (
        "disk-kept",
        with_place("/var/lib/ferry", kind="tmpfs"),
        "expected a local disk, got /var/lib/ferry (tmpfs): it is gone after a boot",
    ),
    (
        "disk-local",
        with_place("/var/lib/ferry", kind="nfs4"),
        "expected a local disk, got /var/lib/ferry (nfs4): locks and renames are not safe on it",
    ),
    (
        "disk-owner",
        with_place("/opt/ferry", owner=1000, mode=0o777),
        "expected directories that root alone writes, got /opt/ferry (user 1000, mode 0777)",
    ),
    (
        "disk-links",
        with_place("/opt/ferry", is_link=True),
        "expected directories, got symbolic links at /opt/ferry",
    ),
    ("space-root", with_place("/", free_bytes=0), "expected 512 MiB free in /, got 0 MiB: a full / stops services"),
    (
        "space-log",
        with_place("/var/log", free_bytes=MIB),
        "expected 1024 MiB free in /var/log, got 1 MiB: six months of logs are kept",
    ),
    (
        "space-run",
        with_place("/run", free_bytes=MIB),
        "expected 16 MiB free in /run, got 1 MiB: systemd keeps its state there",
    ),
    (
        "space-tmp",
        with_place("/tmp", free_bytes=MIB),
        "expected 256 MiB free in /tmp, got 1 MiB: drivers unpack there",
    ),
    (
        "hostname",
        with_text("/proc/sys/kernel/hostname", "localhost\n"),
        'expected a host name of its own (RFC 1123), got "localhost"',
    ),
    (
        "hostname-resolves",
        with_text("/etc/hosts", "127.0.0.1 localhost # bank-01\n"),
        'expected the host\'s own name "bank-01" in /etc/hosts: without a name server each look-up waits',
    ),
    (
        "localhost",
        with_text("/etc/hosts", "10.0.0.1 localhost\n"),
        "expected localhost to be 127.0.0.1 in /etc/hosts, got 10.0.0.1",
    ),
    ("loopback", with_text("/sys/class/net/lo/flags", "0x8\n"), "expected the interface lo to be up, it is down"),
    (
        "ports",
        with_facts(ports={8090: "nginx.service"}),
        "services: agent: expected port 8090 to be free, nginx.service listens on it",
    ),
    (
        "ports-ephemeral",
        in_range,
        "expected services' ports outside of 1024-60999, got 8090: a connection may hold one at boot",
    ),
    (
        "somaxconn",
        sysctl_text("net.core.somaxconn", "128\n"),
        "expected a queue of connections of at least 1024, got 128",
    ),
    (
        "ip-forward",
        sysctl_text("net.ipv4.ip_forward", "0\n"),
        "expected net.ipv4.ip_forward = 1, got 0: containers with a network of their own reach nothing",
    ),
    (
        "proxy",
        with_text("/etc/environment", "HTTP_PROXY=http://10.0.0.1:3128\n"),
        "expected 127.0.0.1 in no_proxy beside http_proxy in /etc/environment",
    ),
    (
        "cgroups",
        with_text("/sys/fs/cgroup/cgroup.controllers", None),
        "expected control groups, none are mounted at /sys/fs/cgroup",
    ),
    (
        "cgroups-v2",
        with_text("/sys/fs/cgroup/cgroup.controllers", None),
        "expected cgroup v2, got v1: limits of a service do not hold for all that it starts",
    ),
    (
        "cgroups-memory",
        with_text("/sys/fs/cgroup/cgroup.controllers", "cpu pids\n"),
        "expected the memory controller, got cpu pids",
    ),
    (
        "open-files",
        sysctl_text("fs.file-max", "1024\n"),
        "expected a limit of open files of at least 65536, got 1024",
    ),
    (
        "open-files-process",
        sysctl_text("fs.nr_open", "1024\n"),
        "expected a limit of open files of a process of at least 65536, got 1024",
    ),
    (
        "inotify-instances",
        sysctl_text("fs.inotify.max_user_instances", "10\n"),
        "expected a limit of inotify instances of at least 128, got 10",
    ),
    (
        "inotify-watches",
        sysctl_text("fs.inotify.max_user_watches", "10\n"),
        "expected a limit of inotify watches of at least 8192, got 10",
    ),
    ("pid-max", sysctl_text("kernel.pid_max", "400\n"), "expected a limit of processes of at least 32768, got 400"),
    (
        "threads-max",
        sysctl_text("kernel.threads-max", "400\n"),
        "expected a limit of threads of at least 4096, got 400",
    ),
    (
        "map-count",
        sysctl_text("vm.max_map_count", "400\n"),
        "expected a limit of memory maps of at least 65530, got 400",
    ),
    (
        "overcommit",
        sysctl_text("vm.overcommit_memory", "2\n"),
        "expected vm.overcommit_memory 0 or 1, got 2: model servers reserve more than they use",
    ),
    (
        "huge-pages",
        with_text("/sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n"),
        "expected transparent huge pages on madvise or never, got always: databases and allocators stall",
    ),
    ("swappiness", sysctl_text("vm.swappiness", "100\n"), "expected vm.swappiness of at most 60, got 100"),
    (
        "user-namespaces",
        sysctl_text("user.max_user_namespaces", "0\n"),
        "expected a limit of user namespaces of at least 1, got 0",
    ),
    (
        "selinux",
        with_text("/sys/fs/selinux/enforce", "1"),
        "expected a policy that knows /opt/ferry, SELinux is enforcing",
    ),
    (
        "fapolicyd",
        with_readings(units={**UNITS_HERE, "fapolicyd.service": "active"}),
        "expected no fapolicyd, or one that trusts /opt/ferry: it stops programs that it does not know",
    ),
    (
        "lockdown",
        with_text("/sys/kernel/security/lockdown", "none [integrity]\n"),
        "expected kernel lockdown to be none beside accelerators, got integrity: unsigned modules do not load",
    ),
    (
        "auditd",
        with_readings(units=dict.fromkeys(UNITS, "inactive")),
        "expected auditd to run (GB/T 22239 level 3, security audit)",
    ),
    (
        "firewall",
        with_readings(units=dict.fromkeys(UNITS, "inactive")),
        "expected a firewall, none of firewalld, nftables and ufw runs",
    ),
    (
        "journal",
        with_readings(there=frozenset()),
        "expected a journal that survives a boot, /var/log/journal is not there",
    ),
    (
        "core-dumps",
        with_text("/proc/sys/kernel/core_pattern", "core\n"),
        'expected core dumps to go to a program or nowhere, got files named "core": they may hold keys',
    ),
    (
        "users",
        with_text("/etc/passwd", "bob:x:61200:1::/:/bin/sh\nferry-x:x:7:7::/:/bin/sh\n"),
        "expected users 61184 to 65519 and names ferry-* to be free for services, got bob, ferry-x",
    ),
    (
        "launcher",
        with_facts(launcher="#!/bin/sh\nexec other\n"),
        "expected no file or Ferry's own at /usr/local/bin/ferry, got another program's",
    ),
    ("entropy", sysctl_text("kernel.random.entropy_avail", "9\n"), "expected entropy of at least 200, got 9"),
    ("product", other_product, "expected no product or the same one, other 1 is installed"),
    ("package-manager", rpm_only, "expected dpkg for the bundle's Debian packages, this host has rpm"),
    (
        "suite",
        with_plan(left_out=("bookworm",)),
        "expected a host of bookworm, for which the bundle's Debian packages are; it goes without them",
    ),
    ("escort", no_nft, "expected /usr/sbin/nft from the bundle or on this host"),
    (
        "container-runtime",
        no_runtime,
        "expected a container runtime (podman, docker or containerd), none is here",
    ),
    (
        "container-version",
        with_readings(programs={"podman": "1.6.4"}),
        "expected podman 3.0 or newer, got 1.6.4",
    ),
    (
        "container-single",
        with_readings(programs={"podman": "4", "docker": "24"}),
        "expected one container runtime, got docker, podman; images go to podman",
    ),
    ("cards-vendor", two_vendors, "expected cards of one vendor, got NVIDIA, Ascend"),
    ("driver-answers", with_card(driver=""), "expected the driver of NVIDIA to answer, it does not"),
    ("driver", with_card(driver="470.82"), "NVIDIA: driver 470.82 is too old"),
    (
        "driver-reboot",
        reboots,
        "expected a reboot: driver 570.26 of NVIDIA works after it only",
    ),
    (
        "nouveau",
        with_card(modules=frozenset({"nouveau"})),
        "expected the module nouveau not to be loaded: it holds the cards",
    ),
    (
        "kernel-headers",
        with_card(headers=False),
        "expected headers of kernel 6.1.0-1, /lib/modules/6.1.0-1/build is not there",
    ),
    (
        "secure-boot",
        with_card(secure_boot="on"),
        "expected secure boot off, or a driver whose modules are signed with an enrolled key",
    ),
]
# These tell what is there, or follow from what a test cannot change.
NEVER_WRONG = {"apparmor", "cards"}
FOLLOW_THE_KERNEL = {"kernel", "kernel-recent", "root", "cpu-count"}


def verdict(name: str, view: View) -> Verdict:
    return next(check for check in CHECKS if check.name == name).look(view)


@pytest.mark.parametrize(("name", "spoil", "told"), WRONG, ids=[name for name, _, _ in WRONG])
def test_what_is_wrong_is_told_with_a_remedy(view: View, name: str, spoil: Callable[[View], View], told: str) -> None:
    found = verdict(name, spoil(view))
    assert found.state is State.FAILED
    assert found.told.english.startswith(told) if name == "driver" else found.told.english == told
    assert found.told.chinese != found.told.english
    assert found.remedy is not None
    assert found.remedy.english
    assert found.remedy.chinese


def test_every_check_can_fail() -> None:
    assert {name for name, _, _ in WRONG} | NEVER_WRONG | FOLLOW_THE_KERNEL == {check.name for check in CHECKS}


def test_what_follows_the_kernel(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    old = os.uname_result(("Linux", "vm", "2.6.32-754.el6", "1", "x86_64"))
    monkeypatch.setattr("os.uname", lambda: old)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    told = {name: verdict(name, view).told.english for name in sorted(FOLLOW_THE_KERNEL)}
    assert told == {
        "cpu-count": "expected at least 2 processors, got 1",
        "kernel": "expected Linux 3.10 or newer, got 2.6.32-754.el6: the carried Python does not run on it",
        "kernel-recent": "expected Linux 4.18 or newer, got 2.6.32-754.el6: overlay file systems and cgroups are "
        "complete from then on",
        "root": "expected to run as root",
    }


def test_a_host_that_tells_nothing_is_not_refused(view: View) -> None:
    silent = replace(view, readings=Readings(), plan=None)
    failed = {one.check.name for one in examine(silent) if one.refuses}
    assert failed == set()


def test_a_must_refuses_and_a_should_does_not(view: View) -> None:
    spoilt = with_text("/etc/hosts", "10.0.0.1 localhost\n")(view)
    refusing = {one.check.name: one.check.level for one in examine(spoilt) if one.verdict.state is State.FAILED}
    assert refusing == {"hostname-resolves": Level.SHOULD, "localhost": Level.MUST}
    assert [one.check.name for one in examine(spoilt) if one.refuses] == ["localhost"]


def test_an_install_refuses_what_must_be_mended_all_at_once(view: View) -> None:
    check_findings(view)
    texts = {**GOOD, "/etc/hosts": "10.0.0.1 localhost\n", "/sys/class/net/lo/flags": "0x8\n"}
    with pytest.raises(HostError) as refused:
        check_findings(replace(view, readings=replace(READINGS, texts=texts)))
    assert str(refused.value) == (
        "2 things must be mended:\n"
        "  expected localhost to be 127.0.0.1 in /etc/hosts, got 10.0.0.1\n"
        "  expected the interface lo to be up, it is down"
    )
    assert refused.value.hint == "write the line: 127.0.0.1 localhost; ip link set lo up"


def test_a_host_with_its_loopback_down_gets_nothing(host: Host, bundle: bytes) -> None:
    path = host.root / "sys/class/net/lo/flags"
    path.parent.mkdir(parents=True)
    path.write_text("0x8\n")
    with pytest.raises(HostError) as refused:
        host.install(bundle)
    assert str(refused.value) == "expected the interface lo to be up, it is down"
    assert not host.layout.state.exists()
    path.write_text("0x9\n")
    host.install(bundle)


def test_readings_of_a_directory(host: Host) -> None:
    root = host.layout.root
    for path, text in {
        "/proc/self/mounts": "/dev/a / ext4 rw 0 0\n/dev/b /var xfs rw,nodev 0 0\n//nas/x /opt cifs rw,noexec 0 0\n",
        "/proc/sys/vm/swappiness": "10\n",
    }.items():
        (root / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        (root / path.lstrip("/")).write_text(text)
    found = read_host(host.layout, host.systemd)
    assert found.number("/proc/sys/vm/swappiness") == 10
    assert found.number("/proc/sys/vm/overcommit_memory") is None
    assert (found.places["/var/lib/ferry"].kind, found.places["/var/lib/ferry"].options) == ("xfs", ("rw", "nodev"))
    assert (found.places["/usr"].kind, found.places["/etc"].kind) == ("ext4", "ext4")
    assert found.programs == {}, "programs of this machine are not those of the host"
