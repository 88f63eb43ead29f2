"""A build that is killed while it downloads, and the next one."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import CHECKOUT, ferry
from mirror import Answer, Mirror

pytestmark = pytest.mark.network
MIB = 1024 * 1024


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with Mirror() as served:
        yield served


def test_a_build_that_is_killed_goes_on_where_it_ended(mirror: Mirror, tmp_path: Path) -> None:
    body = os.urandom(5 * MIB)
    digest = hashlib.sha256(body).hexdigest()
    url = mirror.serve("/weights.bin", Answer(body=body, stall=3 * MIB), Answer(body=body))
    recipe = tmp_path / "hello"
    shutil.copytree(CHECKOUT / "recipes/hello", recipe, ignore=shutil.ignore_patterns("__pycache__"))
    own = "  - {path: service, to: srv/hello}\n"
    source = json.dumps({"url": url, "sha256": digest, "size": len(body), "to": "srv/weights.bin"})
    text = (recipe / "recipe.yaml").read_text()
    (recipe / "recipe.yaml").write_text(text.replace(own, f"{own}  - {source}\n"))
    store = tmp_path / "store"
    environment = {"FERRY_KEYSTORE": str(tmp_path / "keys"), "FERRY_STORE": str(store)}
    ferry("lock", recipe)
    ferry("keystore", "init", "--yes", **environment)
    argv = [sys.executable, "-m", "bundler.cli", "build", str(recipe), "-o", str(tmp_path / "hello.tar")]
    build = subprocess.Popen(argv, cwd=CHECKOUT, env=os.environ | environment)
    part = store / "parts" / f"{digest}.part"
    for _ in range(6000):
        if part.exists() and part.stat().st_size > MIB:
            break
        time.sleep(0.02)
    build.kill()
    build.wait()
    came, sent = part.stat().st_size, mirror.sent["/weights.bin"]
    assert MIB < came <= 3 * MIB
    shown = json.loads(ferry("cache", "show", "--json", **environment).stdout)
    assert shown["unfinished"]["bytes"] >= came
    ferry("build", recipe, "-o", tmp_path / "hello.tar", **environment)
    assert mirror.ranges() == [None, f"bytes={came}-"]
    assert mirror.sent["/weights.bin"] - sent == len(body) - came
    checked = json.loads(ferry("cache", "prune", "--check", "--json", **environment).stdout)
    assert (checked["damaged"], checked["removed"]) == ([], {})
    # Nothing that this lock needs goes when it is kept, and everything else does.
    ferry("cache", "prune", "--keep", recipe, "--yes", **environment)
    no_network = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https", "all")} | {"no_proxy": ""}
    ferry("build", recipe, "-o", tmp_path / "again.tar", **environment, **no_network)
    assert (tmp_path / "again.tar").read_bytes() == (tmp_path / "hello.tar").read_bytes()
