"""The command as a user meets it: words, exit codes, languages, no tracebacks."""

import json
import subprocess
from pathlib import Path

import pytest
from bundles import DEFECTS, SIGNER, STRANGER, Defect, small_bundle
from command import ferry as run_ferry

import bundler.cli


def ferry(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `ferry`; the tests here look at its exit code themselves."""
    return run_ferry(*words, code=None, **environment)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    (tmp_path / "pub.pem").write_text(SIGNER.public.pem())
    (tmp_path / "other.pem").write_text(STRANGER.public.pem())
    path = tmp_path / "sample.tar"
    path.write_bytes(small_bundle(expires=""))
    return path


def test_verify_says_what_it_checked(good: Path) -> None:
    done = ferry("verify", good, "--trust", good.with_name("pub.pem"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "verified: sample 1.0 (linux/amd64)\n"
        f"  signed by {SIGNER.public.fingerprint()} (sm2-sm3)\n"
        "  trusted by its key\n"
        "  7 entries, sm3 of each is right\n"
    )


# The others differ in whom they are signed by, which does not change how the command tells it.
@pytest.mark.parametrize(
    "defect", [one for one in DEFECTS if not one.trust or "too few" in one.name], ids=lambda defect: defect.name
)
def test_verify_refuses_with_a_message_and_its_exit_code(good: Path, tmp_path: Path, defect: Defect) -> None:
    bad = tmp_path / "bad.tar"
    bad.write_bytes(defect.spoil(good.read_bytes()))
    words = [word for path in defect.trust_files(tmp_path) for word in ("--trust", path)]
    words += [word for scheme in defect.demands for word in ("--demand", scheme)]
    done = ferry("verify", bad, *words)
    assert done.returncode == defect.exit_code
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_a_wrong_key_is_told_whole(good: Path) -> None:
    done = ferry("verify", good, "--trust", good.with_name("other.pem"))
    assert done.returncode == 7
    first, hint = done.stderr.splitlines()
    assert first.startswith("error: ferry.json.dsse: expected a signature by a trusted key, got signatures by ")
    assert hint == (
        "hint: check that what --trust names is the builder's (compare fingerprints), and carry the bundle again"
    )


def test_errors_as_json(good: Path) -> None:
    done = ferry("verify", good, "--trust", good.with_name("other.pem"), "--json")
    error = json.loads(done.stderr)
    assert (error["exit_code"], error["place"], done.returncode) == (7, "ferry.json.dsse", 7)


def test_chinese_by_locale(good: Path) -> None:
    done = ferry("verify", good, "--trust", good.with_name("pub.pem"), LANG="zh_CN.UTF-8")
    assert done.stdout.splitlines()[0] == "校验通过：sample 1.0 (linux/amd64)"
    assert ferry("verify", good, "--trust", good.with_name("other.pem"), LANG="zh_CN.UTF-8").stderr.startswith("错误：")
    assert "校验" in ferry("--help", LANG="zh_CN.UTF-8").stdout


def test_inspect_shows_the_manifest_without_trust(good: Path) -> None:
    done = ferry("inspect", good, "--items")
    assert done.returncode == 0
    assert "product   sample 1.0 (sequence 1)" in done.stdout
    assert "pkg:generic/data/0@1" in done.stdout
    assert json.loads(ferry("inspect", good, "--json").stdout)["name"] == "sample"


def test_inspect_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"not a tar")
    done = ferry("inspect", tmp_path / "x")
    assert (done.returncode, done.stderr) == (
        6,
        'error: ferry.json: expected the entry "ferry.json", the file is not a bundle\n',
    )
    assert ferry("inspect", tmp_path / "none").returncode == 6
    assert ferry("inspect", tmp_path).stderr == f"error: {tmp_path}: the bundle cannot be read: Is a directory\n"


def test_what_the_system_refuses_is_an_error_of_the_host(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    keys = str(tmp_path / "keystore")
    done = ferry(
        "build",
        "recipes/hello",
        "--yes",
        "-o",
        tmp_path / "x.tar",
        FERRY_STORE=str(tmp_path / "taken/store"),
        FERRY_KEYSTORE=keys,
    )
    assert done.returncode == 8
    assert done.stderr.splitlines()[-1] == f"error: {tmp_path}/taken/store: not a directory"


def test_wrong_usage_is_2(good: Path) -> None:
    assert ferry("verify").returncode == 2
    assert ferry("nothing").returncode == 2
    assert ferry("build", "recipes/hello").returncode == 2


def test_a_recipe_that_is_not_there_or_wrong(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("format: ferry/recipe/v1\nname: [\n")
    done = ferry("lock", tmp_path)
    assert done.returncode == 3
    assert done.stderr.startswith(f"error: {tmp_path}/recipe.yaml:")


COMMANDS = [
    "target",
    "drivers",
    "lock",
    "build",
    "cache prune",
    "scan",
    "why",
    "export",
    "verify",
    "inspect",
    "split",
    "heal",
    "export 7z",
    "serve",
    "keystore",
    "host",
    "audit",
    "audit verify",
    "audit show",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    done = ferry(*command.split(), "--help")
    assert done.returncode == 0
    assert "Example" in done.stdout


def test_no_module_takes_the_place_of_a_function_of_the_package() -> None:
    """An imported submodule becomes an attribute of its package, under its own name."""
    modules = {path.stem for path in Path(bundler.cli.__file__).parent.glob("*.py")}
    assert modules.isdisjoint({"ferry", "main", "report", "version"})
