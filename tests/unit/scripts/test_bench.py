"""The bench measures what it says, in the shape it says, and leaves nothing."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bench import measure, sample

SCRIPT = Path(__file__).resolve().parents[3] / "scripts/bench.py"


@pytest.fixture(scope="module")
def script():
    """The entry, under another name than the package beside it, which has the same."""
    spec = importlib.util.spec_from_file_location("bench_entry", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("text", "size"), [("2g", 2 * 1024**3), ("512M", 512 * 1024**2), ("4096k", 4 * 1024**2), ("1048576", 1024**2)]
)
def test_sizes(script, text, size):
    assert script.parser().parse_args(["build", "--size", text]).size == size


@pytest.mark.parametrize("text", ["", "g", "2x", "-1g", "1.5g", "1023k", "²g"])
def test_a_size_that_is_none_is_refused(script, capsys, text):
    with pytest.raises(SystemExit) as refusal:
        script.parser().parse_args(["build", f"--size={text}"])
    assert refusal.value.code == 2
    message = f'argument --size: expected a size of at least 1m such as 2g or 512m, got "{text}"'
    assert capsys.readouterr().err.splitlines()[-1] == f"bench.py: error: {message}"


@pytest.mark.parametrize("argv", [[], ["nothing"], ["build", "--runs", "0"]])
def test_wrong_usage(script, argv):
    with pytest.raises(SystemExit) as refusal:
        script.parser().parse_args(argv)
    assert refusal.value.code == 2


def test_ratios_are_between_the_best_runs():
    seconds = {"ferry": [2.0, 1.0, 4.0], "cat": [0.5, 0.8, 0.9]}
    assert measure.speed(seconds, "ferry", 100_000_000, ["cat"]).document() == {
        "value": 100.0,
        "unit": "MB/s",
        "median": 50.0,
        "peer": "cat",
        "ratio": 0.5,
        "ratios": {"cat": 0.5},
    }


def test_a_failed_program_says_why():
    with pytest.raises(measure.BenchError, match=r"sh -c .*: it broke$"):
        measure.run(["sh", "-c", "echo it broke >&2; exit 3"])


def test_the_peak_of_memory_is_that_of_the_child():
    """Measured by a small process, as a child begins with the resident set of its parent."""
    lines = (
        "import sys",
        f"sys.path.insert(0, {str(SCRIPT.parent)!r})",
        "from bench import measure",
        "took = measure.run([sys.executable, '-Ic', 'print(len(bytes(1) * 900_000_000))'])",
        "assert took.output == b'900000000\\n'",
        "print(took.peak_bytes, measure.run([sys.executable, '-Ic', '']).peak_bytes)",
    )
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    large, small = map(int, done.stdout.split())
    assert large > 900_000_000 > small


def test_the_table_is_aligned(script):
    lines = [
        ("pack", measure.Measurement(value=1234.5, unit="MB/s", median=1000.0, ratios={"cat": 0.5, "cp": 2.0})),
        ("a longer name", measure.Measurement(value=0.25, unit="s", median=0.3)),
        ("install", measure.Measurement(skipped="isolated machines need root")),
    ]
    assert script.table("area", lines) == (
        "area\n"
        "  pack           1,234  MB/s  median 1,000; 0.50 x cat; 2.00 x cp\n"
        "  a longer name   0.25  s     median 0.3\n"
        "  install            -        skipped: isolated machines need root"
    )


@pytest.mark.parametrize("size", [0, 1, 1024**2, 2 * 1024**3 + 5])
def test_sample_sizes_come_to_the_size(size):
    assert sum(sample.blob_sizes(size)) == size


def test_a_sample_has_large_blobs():
    assert sample.LARGE in sample.blob_sizes(2 * 1024**3)


def test_json_of_a_small_bundle(tmp_path):
    argv = [sys.executable, str(SCRIPT), "bundle", "build", "--json", "--size", "1m", "--runs", "1"]
    argv += ["--recipe", str(tmp_path / "no-recipe")]
    env = os.environ | {"FERRY_STORE": str(tmp_path / "cache/store")}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert list(results) == ["bundle", "build"]
    for lines in results.values():
        for name, one in lines.items():
            assert {"value", "unit", "median", "peer", "ratio", "ratios"} <= set(one), name
            assert one["value"] is None or one["value"] > 0
    assert list(results["build"]["pack"]["ratios"]) == ["cat", "tar", "cp", "openssl dgst -sha256"]
    assert results["bundle"]["ferry verify, gm"]["unit"] == "MB/s"
    assert results["bundle"]["gm memory, size"]["unit"] == "MiB"
    skipped = results["build"]["ferry build no-recipe, warm"]
    assert skipped["value"] is None
    assert skipped["skipped"].startswith("not buildable without network, build it once before: ")
    assert list((tmp_path / "cache").iterdir()) == [], "the bench leaves nothing"
