"""A recipe with a glob, a URL and weights beside its own files, from lock to bundle."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import CHECKOUT, ferry
from mirror import Answer, Mirror
from weights import model

pytestmark = pytest.mark.network
PURL = "pkg:huggingface/sample/small@0123abc"


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with Mirror() as served:
        yield served


def recipe_with_files(directory: Path, url: str, body: bytes, weights: Path) -> Path:
    shutil.copytree(CHECKOUT / "recipes/hello", directory, ignore=shutil.ignore_patterns("__pycache__"))
    (directory / "conf").mkdir()
    for name in ("a.toml", "b.toml", "c.txt"):
        (directory / "conf" / name).write_text(name)
    sources = [
        {"path": "service", "to": "srv/hello"},
        {"path": "conf/*.toml", "to": "srv/conf"},
        {"url": url, "sha256": hashlib.sha256(body).hexdigest(), "to": "srv/data/m.bin", "executable": True},
        {"weights": str(weights), "to": "srv/models/m", "purl": PURL},
    ]
    text = (directory / "recipe.yaml").read_text()
    own = "  - {path: service, to: srv/hello}\n"
    assert own in text
    lines = "".join(f"  - {json.dumps(source)}\n" for source in sources)
    (directory / "recipe.yaml").write_text(text.replace(own, lines))
    return directory


def test_files_of_every_kind_get_into_a_bundle(mirror: Mirror, tmp_path: Path) -> None:
    body = b"model" * 100_000
    url = mirror.serve("/m.bin", Answer(body=body, cut=300_000), Answer(body=body))
    weights = model(tmp_path / "weights")
    recipe = recipe_with_files(tmp_path / "hello", url, body, weights)
    keys = {"FERRY_KEYSTORE": str(tmp_path / "keys")}
    ferry("keystore", "init", "--yes", **keys)
    ferry("lock", recipe)
    ferry("lock", "--check", recipe)
    ferry("build", recipe, "-o", tmp_path / "x.tar", **keys)
    manifest = json.loads(ferry("inspect", tmp_path / "x.tar", "--json").stdout)
    assert str(tmp_path) not in json.dumps(manifest)
    items = {item["to"]: item for item in manifest["items"] if item["kind"] == "file"}
    assert {"srv/conf/a.toml", "srv/conf/b.toml", "srv/data/m.bin", "srv/models/m/config.json"} < set(items)
    assert items["srv/data/m.bin"]["source"] == {"url": url}
    assert items["srv/data/m.bin"]["executable"]
    shard = items["srv/models/m/model-00002-of-00002.safetensors"]
    assert (shard["purl"], shard["version"]) == (PURL, "0123abc")
    first = (tmp_path / "x.tar").read_bytes()
    ferry("build", recipe, "-o", tmp_path / "y.tar", **keys)
    assert (tmp_path / "y.tar").read_bytes() == first

    (weights / "tokenizer.json").write_text("changed")
    done = ferry("lock", "--check", recipe, code=3)
    assert done.stderr.startswith("error: files: the recipe's files changed since they were locked\n")
    (weights / "model-00002-of-00002.safetensors").unlink()
    done = ferry("lock", recipe, code=3)
    assert done.stderr.startswith("error: files[3].weights: expected 2 shards as model.safetensors.index.json says, ")
