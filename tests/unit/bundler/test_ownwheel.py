import hashlib
import os
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

from installer.sources import WheelFile

from bundler.ownwheel import ferry_version, make_own_wheel
from bundler.wheels import install_wheels, packages_directory

CHECKOUT = Path(__file__).resolve().parents[3]
DIGEST = """
import hashlib
from bundler.ownwheel import make_own_wheel
name, data = make_own_wheel()
print(name, hashlib.sha256(data).hexdigest())
"""


def test_the_same_code_gives_the_same_wheel(tmp_path: Path) -> None:
    name, data = make_own_wheel()
    assert make_own_wheel() == (name, data)
    said = [
        subprocess.run(
            [sys.executable, "-c", f"import os\nos.umask({mask})\n{DIGEST}"],
            cwd=tmp_path,
            env={"PYTHONPATH": str(CHECKOUT), "TZ": zone, "PYTHONHASHSEED": str(mask), "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout.split()
        for mask, zone in ((0o077, "Asia/Shanghai"), (0o002, "UTC"))
    ]
    assert said == [[name, hashlib.sha256(data).hexdigest()]] * 2


def test_it_holds_the_code_and_nothing_else() -> None:
    name, data = make_own_wheel()
    info = f"ferry_airgap-{ferry_version()}.dist-info"
    assert name == f"ferry_airgap-{ferry_version()}-py3-none-any.whl"
    with zipfile.ZipFile(BytesIO(data)) as archive:
        members = archive.infolist()
        names = [member.filename for member in members]
        assert archive.testzip() is None
        assert archive.read("bundler/errors.py") == (CHECKOUT / "bundler/errors.py").read_bytes()
    assert {path.partition("/")[0] for path in names} == {"bundler", "keystore", info}
    suffixes = {Path(path).suffix for path in names if not path.startswith(info)}
    assert suffixes <= {".py", ".sh", ".typed", ".json", ".yml"}
    assert not [path for path in names if "__pycache__" in path]
    assert {(member.date_time, member.external_attr >> 16) for member in members} == {((2020, 1, 1, 0, 0, 0), 0o100644)}


def test_its_record_is_right_and_it_runs_where_it_is_installed(tmp_path: Path) -> None:
    name, data = make_own_wheel()
    path = tmp_path / name
    path.write_bytes(data)
    with WheelFile.open(path) as wheel:
        wheel.validate_record()
        assert (wheel.distribution, wheel.version) == ("ferry_airgap", ferry_version())
    install_wheels([(name, path)], tmp_path / "root", "3.11")
    packages = tmp_path / "root" / packages_directory("3.11")
    command = "import bundler, keystore; from importlib.metadata import version; print(version('ferry-airgap'))"
    done = subprocess.run(
        [sys.executable, "-S", "-B", "-c", f"import sys; sys.path.insert(0, {str(packages)!r}); {command}"],
        cwd=tmp_path,
        env={},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == ferry_version()
    assert (tmp_path / "root/usr/local/bin/ferry").stat().st_mode & 0o777 == 0o755
