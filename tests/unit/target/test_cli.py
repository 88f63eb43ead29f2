"""`ferry target` and `ferry lock --target` as a user meets them."""

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import segno
import yaml

from bundler.target.probe import probe_script

CHECKOUT = Path(__file__).resolve().parents[3]
LINE = "F1 debian 12 bookworm x86_64 6.1 2.36 systemd:252 apt - - -/-/- ba49b3a7"
DIGEST = "a91dcea91e470559ccc84d774fcd2821328305596784eb074b7cbbc79ec12ac9"
WORDS = f"""\
name        debian-12/amd64
system      Debian GNU/Linux 12 (bookworm) (debian 12 bookworm)
machine     x86_64 (linux/amd64)
kernel      6.1
glibc       2.36
init        systemd 252
runtimes    unknown
free        unknown
memory      unknown
processors  unknown
packages    unknown: the minimal system counts (apt)
cards       unknown
security    secure boot unknown, SELinux unknown, AppArmor unknown
python      unknown
sha256      {DIGEST}
"""
CHINESE = """\
名称        debian-12
系统        debian 12 bookworm
机器        x86_64 (linux/amd64)
内核        6.1
glibc       2.36
初始化      systemd 252
容器        未知
可用空间    / 未知, /var/lib 未知, /opt 未知
内存        未知
处理器      未知
软件包      未知：按最小系统计（apt）
加速卡      未知
安全        安全启动 未知, SELinux 未知, AppArmor 未知
python      未知
"""


def ferry(*words: str | Path, language: str = "C.UTF-8") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bundler.cli", *map(str, words)],
        cwd=CHECKOUT,
        env={"PATH": "/usr/bin:/bin", "LANG": language, "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_probe_is_printed_as_it_is() -> None:
    done = ferry("target", "probe")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.encode() == probe_script()


def test_a_target_is_told_in_words() -> None:
    done = ferry("target", "read", "debian-12/amd64")
    assert (done.returncode, done.stderr, done.stdout) == (0, "", WORDS)


def test_a_short_form_is_typed_without_quotes_and_told_in_chinese() -> None:
    done = ferry("target", "read", *LINE.split(), language="zh_CN.UTF-8")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(CHINESE)


def test_cards_and_programs_are_told(tmp_path: Path) -> None:
    path = tmp_path / "host.yaml"
    ferry("target", "read", "openeuler-22.03/arm64", "-o", path)
    document = yaml.safe_load(path.read_text())
    document |= {
        "accelerators": [{"vendor": "19e5", "device": "d802", "count": 8}],
        "drivers": [{"vendor": "19e5", "version": "24.1.rc2"}],
        "runtimes": [{"name": "docker", "version": "18.09.0"}, {"name": "isula", "version": None}],
        "cpus": 192,
        "cpu_flags": ["asimd", "sve"],
        "memory_bytes": 10**12,
        "packages": ["bash 5 aarch64"],
        "python": "none",
    }
    path.write_text(yaml.safe_dump(document))
    told = ferry("target", "read", path).stdout.splitlines()
    for row in (
        "name        host",
        "runtimes    docker 18.09.0, isula (version unknown)",
        "memory      1000.0 GB",
        "processors  192 (asimd sve)",
        "packages    1 (dnf)",
        "cards       8 x Ascend 19e5:d802, driver 24.1.rc2",
        "python      none",
    ):
        assert row in told


def test_json_holds_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "out.yaml"
    document = json.loads(ferry("target", "read", LINE, "--json", "-o", path).stdout)
    assert (document["name"], document["kernel"], document["packages"]) == ("debian-12", "6.1", None)
    assert document["sha256"] == json.loads(ferry("target", "read", path, "--json").stdout)["sha256"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("read", LINE.replace("6.1", "6.2")),
            "error: short form: the check characters do not fit: at least one character differs from the host's line\n"
            "hint: compare it with the host's line character by character: 0 and O, 1 and l, 5 and S\n",
        ),
        (
            ("show", "none.yaml"),
            "error: none.yaml: expected a target: No such file or directory\n"
            "hint: make it on that host with what `ferry target probe` prints\n",
        ),
    ],
)
def test_a_refusal_is_told_with_what_to_do(words: tuple[str, ...], message: str) -> None:
    done = ferry("target", *words)
    assert (done.returncode, done.stdout, done.stderr) == (3, "", message)


def test_the_short_form_is_shown_as_text_and_as_a_code(tmp_path: Path) -> None:
    assert ferry("target", "show", "debian-12/amd64").stdout == f"{LINE}\n"
    code, _, line = ferry("target", "show", "debian-12/amd64", "--qr").stdout.rstrip("\n").rpartition("\n")
    assert line == LINE
    expected = io.StringIO()
    segno.make(LINE, error="l", micro=False).terminal(expected, compact=True)
    assert code + "\n" == expected.getvalue()


def test_a_reader_of_codes_reads_it(tmp_path: Path) -> None:
    if shutil.which("zbarimg") is None:
        pytest.skip("zbarimg (zbar-tools) is not installed")
    rows = ferry("target", "show", "debian-12/amd64", "--qr").stdout.splitlines()[:-1]
    # Each character is two pixels, one above the other; a full block is light, a blank dark.
    light = {"█": (1, 1), "▀": (1, 0), "▄": (0, 1), " ": (0, 0)}
    pixels = [[light[one][half] for one in row] for row in rows for half in (0, 1)]
    scaled = "\n".join(" ".join("0 0 0 0" if one else "1 1 1 1" for one in row) for row in pixels for _ in range(4))
    image = tmp_path / "code.pbm"
    image.write_text(f"P1\n{len(pixels[0]) * 4} {len(pixels) * 4}\n{scaled}\n")
    done = subprocess.run(["zbarimg", "--raw", "-q", image], capture_output=True, text=True, check=False)
    assert done.stdout == f"{LINE}\n"


def test_the_names_of_stock_targets_are_listed() -> None:
    names = ferry("target", "list").stdout.split()
    assert (len(names), names[0], names[-1]) == (12, "debian-12/amd64", "uos-20/arm64")


def test_a_target_that_does_not_fit_stops_a_lock_before_anything_is_resolved(tmp_path: Path) -> None:
    recipe = tmp_path / "hello"
    shutil.copytree(CHECKOUT / "recipes/hello", recipe)
    text = (recipe / "recipe.yaml").read_text()
    (recipe / "recipe.yaml").write_text(text.replace("linux/amd64, linux/arm64", "linux/amd64"))
    done = ferry("lock", recipe, "--target", "kylin-v10-sp3/arm64")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        "error: platforms: expected linux/arm64, which the target is, got linux/amd64\n"
        "hint: add it to the recipe's platforms, or take another target\n"
    )


def test_a_lock_is_checked_against_a_target_offline(tmp_path: Path) -> None:
    recipe = tmp_path / "hello"
    shutil.copytree(CHECKOUT / "recipes/hello", recipe)
    done = ferry("lock", "--check", recipe, "--target", "debian-12/amd64")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        f"error: targets: the lock was not made for debian-12/amd64\nhint: run: ferry lock {recipe} --target ...\n"
    )
    record = f"name: debian-12/amd64, os: debian, version: '12', machine: x86_64, sha256: {DIGEST}"
    lock = recipe / "recipe.lock.yaml"
    lock.write_text(lock.read_text() + f"targets: [{{{record}}}]\n")
    done = ferry("lock", "--check", recipe, "--target", "debian-12/amd64")
    assert (done.returncode, done.stderr) == (0, "")
    rows = done.stdout.splitlines()
    assert rows[:4] == [
        "fits debian-12/amd64:",
        "  platform   linux/amd64           needs linux/amd64 or linux/arm64",
        "  kernel     6.1                   needs >= 3.2 (glibc 2.36)",
        "  init       systemd 252           needs systemd >= 247",
    ]
    assert rows[5].startswith("  /var/lib   unknown, not checked  needs >= 0.0")
    assert rows[-1] == f"{lock} is the lock of this recipe"
