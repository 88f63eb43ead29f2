import base64
import json
import os
from pathlib import Path

import pytest

from bundler.credentials import Credential, find_credential
from bundler.errors import HostError, StepError

LOGIN = base64.b64encode(b"alice:open:sesame").decode()


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The config.json that docker login writes."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    return tmp_path / "config.json"


def write(path: Path, **document: object) -> None:
    path.write_text(json.dumps(document))


def helper(directory: Path, name: str, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = directory / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")


def test_nobody_is_logged_in(docker: Path) -> None:
    assert find_credential("r.local:5000") is None
    write(docker, auths={"r.local:5000": {}, "other.local": {"auth": LOGIN}, "r.local:5000/team": {"auth": LOGIN}})
    assert find_credential("r.local:5000") is None


@pytest.mark.parametrize("key", ["r.local:5000", "https://r.local:5000", "https://r.local:5000/v2/"])
def test_an_entry(key: str, docker: Path) -> None:
    write(docker, auths={key: {"auth": LOGIN}})
    found = find_credential("r.local:5000")
    assert found == Credential(user="alice", secret="open:sesame")
    assert (found.basic, "sesame" in repr(found)) == (f"Basic {LOGIN}", False)


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io", "registry-1.docker.io"])
def test_docker_hub_has_many_names(key: str, docker: Path) -> None:
    write(docker, auths={key: {"auth": LOGIN}})
    assert find_credential("docker.io") == Credential(user="alice", secret="open:sesame")


def test_an_identity_token_has_no_user(docker: Path) -> None:
    write(docker, auths={"r.local": {"auth": LOGIN, "identitytoken": "long"}})
    assert find_credential("r.local") == Credential(user="", secret="long")


def test_the_file_of_podman_comes_first(docker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(docker, auths={"r.local": {"auth": LOGIN}})
    write(tmp_path / "auth.json", auths={"r.local": {"auth": base64.b64encode(b"bob:b").decode()}})
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
    assert find_credential("r.local") == Credential(user="bob", secret="b")


def test_a_helper_of_the_host_is_asked_first(docker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = 'read -r host; echo "{\\"Username\\": \\"$1 $host $KEY_RING\\", \\"Secret\\": \\"s\\"}"'
    helper(tmp_path, "mine", script, monkeypatch)
    monkeypatch.setenv("KEY_RING", "ring")
    write(docker, credHelpers={"r.local": "mine"}, auths={"r.local": {"auth": LOGIN}})
    assert find_credential("r.local") == Credential(user="get r.local ring", secret="s")


def test_a_store_answers_for_every_host(docker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = 'read -r host; echo "{\\"ServerURL\\": \\"$host\\", \\"Username\\": \\"<token>\\", \\"Secret\\": \\"s\\"}"'
    helper(tmp_path, "all", script, monkeypatch)
    write(docker, credsStore="all", auths={"r.local": {}})
    assert find_credential("r.local") == Credential(user="", secret="s")


def test_a_helper_that_has_nothing(docker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, "none", "echo credentials not found in native keychain; exit 1", monkeypatch)
    write(docker, credsStore="none")
    assert find_credential("r.local") is None


def test_a_helper_that_fails(docker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, "broken", "echo locked; exit 1", monkeypatch)
    write(docker, credsStore="broken")
    with pytest.raises(StepError) as refused:
        find_credential("r.local")
    assert str(refused.value) == "`docker-credential-broken get` failed for r.local"
    assert refused.value.hint == "try it: echo r.local | docker-credential-broken get"
    helper(tmp_path, "broken", "echo secret", monkeypatch)
    with pytest.raises(StepError) as refused:
        find_credential("r.local")
    assert str(refused.value) == "expected Username and Secret from `docker-credential-broken get`, got something else"


def test_a_helper_that_is_missing(docker: Path) -> None:
    write(docker, credHelpers={"r.local": "absent"})
    with pytest.raises(StepError) as refused:
        find_credential("r.local")
    assert str(refused.value) == 'expected the program "docker-credential-absent", it is not installed'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "{path}: expected the JSON that docker login writes"),
        ("[]", "{path}: expected a mapping, got a list"),
        ('{"auths": []}', "{path}.auths: expected a mapping, got a list"),
        ('{"auths": {"r.local": {"auth": "!"}}}', "{path}: r.local.auth: expected USER:PASSWORD in base64"),
        ('{"auths": {"r.local": {"auth": "YWJj"}}}', "{path}: r.local.auth: expected USER:PASSWORD in base64"),
        ('{"credsStore": "../evil"}', 'expected the name of a credential helper, got "../evil"'),
    ],
)
def test_a_damaged_file(text: str, message: str, docker: Path) -> None:
    docker.write_text(text)
    with pytest.raises(HostError) as refused:
        find_credential("r.local")
    assert str(refused.value) == message.replace("{path}", str(docker))
