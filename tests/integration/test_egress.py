"""A build refuses what would reach out at run time: seen by the boot test, or found in what it carries."""

import gzip
import json
import os
import shutil
from pathlib import Path

import pytest
import yaml
from artifacts import make_tar
from command import CHECKOUT, ferry
from registry import FakeRegistry, make_image

pytestmark = pytest.mark.network
HERE = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}.get(os.uname().machine, "")
# What a library does that looks for updates: it fails softly, so nobody sees it.
UPDATES = """
import contextlib, socket, threading

def look():
    with contextlib.suppress(OSError):
        socket.create_connection(("updates.example.com", 443), timeout=5)

threading.Thread(target=look).start()
"""


@pytest.fixture(scope="module")
def keystore(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    directory = tmp_path_factory.mktemp("keys") / "keystore"
    ferry("keystore", "init", "--yes", FERRY_KEYSTORE=str(directory))
    ferry("keystore", "public", "-o", directory.with_name("release.pem"), FERRY_KEYSTORE=str(directory))
    return {"FERRY_KEYSTORE": str(directory), "FERRY_TRUST": str(directory.with_name("release.pem"))}


def recipe_with(directory: Path, code: str = "", **changes: object) -> Path:
    """Copy recipes/hello for this host's platform, with code before its own and other fields; lock it."""
    shutil.copytree(CHECKOUT / "recipes/hello", directory, ignore=shutil.ignore_patterns("__pycache__"))
    service = directory / "service/hello.py"
    service.write_text(code + service.read_text())
    recipe = yaml.safe_load((directory / "recipe.yaml").read_text())
    recipe |= {"platforms": [HERE], **changes}
    (directory / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    ferry("lock", directory)
    return directory


def allowing(*allowed: tuple[str, str]) -> dict[str, object]:
    return {"allow": [{"rule": rule, "where": where, "reason": "the site answers"} for rule, where in allowed]}


def test_a_service_that_looks_for_updates_fails_the_build(tmp_path: Path, keystore: dict[str, str]) -> None:
    recipe = recipe_with(tmp_path / "recipe", UPDATES)
    done = ferry("build", recipe, "-o", tmp_path / "x.tar", code=3, **keystore)
    assert done.stderr == (
        "error: egress: expected nothing that reaches out at run time, got 1:\n"
        "  services.hello: python3.11 -m hello (tcp) tries to reach updates.example.com:443\n"
        "hint: switch off what connects (telemetry, update checks, downloads) in the service's environment, or carry "
        "what it fetches; or allow it in the recipe: "
        'egress: {allow: [{rule: connection, where: "updates.example.com:443", reason: "..."}]}\n'
    )
    again = ferry("build", recipe, "-o", tmp_path / "x.tar", code=3, **keystore)
    assert again.stderr == done.stderr, "what a boot showed is remembered whole"
    assert list(tmp_path.iterdir()) == [recipe]


def test_what_the_recipe_allows_is_printed_and_crosses_with_the_bundle(
    tmp_path: Path, keystore: dict[str, str]
) -> None:
    egress = allowing(("connection", "updates.example.com:*"))
    recipe = recipe_with(tmp_path / "recipe", UPDATES, egress=egress)
    done = ferry("build", recipe, "-o", tmp_path / "x.tar", **keystore)
    told = "    allowed: connection at updates.example.com:*: the site answers\n"
    assert f"  egress: 0 errors, 0 warnings, 0 notes\n{told}" in done.stdout
    manifest = json.loads(ferry("inspect", tmp_path / "x.tar", "--json").stdout)
    (report,) = [item for item in manifest["items"] if item["kind"] == "report"]
    assert (report["name"], report["media_type"]) == ("egress.json", "application/json")
    scanned = ferry("scan", "egress", tmp_path / "x.tar", "--trust", keystore["FERRY_TRUST"])
    assert scanned.stdout == f"  egress: 0 errors, 0 warnings, 0 notes\n{told}"


def test_what_is_allowed_for_nothing_fails_the_build(tmp_path: Path, keystore: dict[str, str]) -> None:
    recipe = recipe_with(tmp_path / "recipe", egress=allowing(("connection", "updates.example.com:443")))
    done = ferry("build", recipe, "-o", tmp_path / "x.tar", code=3, **keystore)
    assert done.stderr.splitlines() == [
        'error: egress.allow[0]: nothing that "connection" finds is at "updates.example.com:443"',
        "hint: correct the glob, or remove what is no longer needed; `ferry scan egress` lists the places",
    ]


def test_an_image_that_starts_with_npx_fails_the_build_and_its_scan(tmp_path: Path, keystore: dict[str, str]) -> None:
    entry = b"#!/bin/sh\nexec npx -y @modelcontextprotocol/server-everything\n"
    servers = json.dumps({"mcpServers": {"fetch": {"command": "uvx", "args": ["mcp-server-fetch"]}}}).encode()
    layer = gzip.compress(make_tar(("app/start.sh", entry), ("app/mcp.json", servers)), mtime=0)
    with FakeRegistry() as registry:
        registry.put("base/mcp", "1", make_image(layer, architecture=HERE.partition("/")[2]))
        name = f"{registry.host}/base/mcp:1"
        recipe = recipe_with(tmp_path / "recipe", images=[{"reference": name}])
        environment = {**keystore, "FERRY_STORE": str(tmp_path / "store")}
        done = ferry("build", recipe, "-o", tmp_path / "x.tar", code=3, **environment)
    assert done.stderr.splitlines()[:2] == [
        "error: egress: expected nothing that reaches out at run time, got 1:",
        f"  {name}:app/mcp.json:1: uvx: uvx mcp-server-fetch",
    ]
    scanned = ferry("scan", "egress", recipe, code=3, **environment)
    assert f"  error    {name}:app/mcp.json:1  uvx mcp-server-fetch\n" in scanned.stdout
    assert f"  warning  {name}:app/start.sh:2  exec npx -y @modelcontextprotocol/server-everything\n" in scanned.stdout


def test_the_recipes_of_this_project_carry_nothing_that_reaches_out() -> None:
    scanned = ferry("scan", "egress", "recipes/hello")
    assert scanned.stdout == "  egress: 0 errors, 0 warnings, 0 notes\n"
    document = json.loads(ferry("scan", "egress", "recipes/agentscope", "--json").stdout)
    assert document["refused"] == 0
    assert {one["severity"] for one in document["findings"]} == {"info"}
    assert len(document["findings"]) < 20, "a list that is read"
