"""The layers of the code hold."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
BLOCKED = "yaml uv urllib3 requests packaging cyclonedx jsonschema_rs oras docker zfec py7zr multivolumefile"


def test_import_contracts() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    if not program.exists():
        pytest.skip("import-linter is not installed beside this Python")
    done = subprocess.run([program], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_only_one_module_starts_processes() -> None:
    found = {
        path.relative_to(CHECKOUT).as_posix()
        for path in (CHECKOUT / "bundler").rglob("*.py")
        if "import subprocess" in path.read_text() and not path.name.startswith("inside")
    }
    assert found == {"bundler/run.py"}


def test_only_two_modules_know_yaml() -> None:
    found = {path.name for path in (CHECKOUT / "bundler").rglob("*.py") if "import yaml" in path.read_text()}
    # The second reads what others wrote, inside charts; recipes and locks are read by the first alone.
    assert found == {"load.py", "documents.py"}


@pytest.mark.parametrize(
    "package", ["bundler.installer", "bundler.verify", "bundler.cli.heal", "bundler.cli.host", "keystore"]
)
def test_the_isolated_side_needs_the_toolchain_alone(package: str) -> None:
    """Import with everything blocked that the toolchain of a bundle does not hold."""
    code = (
        "import sys, importlib, pkgutil\n"
        f"for name in {BLOCKED!r}.split():\n"
        "    sys.modules[name] = None\n"
        f"top = importlib.import_module('{package}')\n"
        "for module in pkgutil.walk_packages(getattr(top, '__path__', []), top.__name__ + '.'):\n"
        "    importlib.import_module(module.name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
