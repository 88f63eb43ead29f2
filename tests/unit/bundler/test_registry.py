import base64
import hashlib
import json
import logging
from pathlib import Path

import pytest
from clock import StillClock
from mirror import Answer
from private_ca import make_certificate
from registry import BASIC, PASSWORD, USER, FakeRegistry, Image, make_image

from bundler.errors import HostError, IntegrityError, ResolveError, TransferError
from bundler.model.image import LockedBlob
from bundler.model.reference import Reference, parse_reference
from bundler.registry import Found, Registry, parse_challenge, read_mirrors
from bundler.store import Store
from bundler.transport import Transport

MIB = 1024 * 1024
LAYER = bytes(range(256)) * 4096 * 3
IMAGE = make_image(LAYER)
LOGIN = "check the name; log in with: docker login {host} (or podman login --authfile, named in REGISTRY_AUTH_FILE)"


class Client:
    """A registry client whose waiting is written down, and a store to fetch into."""

    def __init__(self, store: Store) -> None:
        clock = StillClock()
        self.waited = clock.waited
        self.store = store
        self.transport = Transport(clock)
        self.registry = Registry(self.transport)

    def manifest(self, host: str, tag: str = "1") -> Found:
        return self.registry.manifest(reference(host, tag))

    def blob(self, host: str, data: bytes = LAYER) -> None:
        sha256 = hashlib.sha256(data).hexdigest()
        self.transport.download(
            self.registry.urls(reference(host), "blobs", f"sha256:{sha256}"),
            self.store,
            sha256=sha256,
            size=len(data),
            progress=lambda count: None,
            headers=self.registry.headers,
        )
        assert self.store.read(sha256) == data


def reference(host: str, tag: str = "1") -> Reference:
    return parse_reference(f"{host}/team/app:{tag}", place="here")


def log_in(tmp_path: Path, host: str, **entry: str) -> None:
    (tmp_path / "docker").mkdir(exist_ok=True)
    auth = {"auth": base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}
    (tmp_path / "docker/config.json").write_text(json.dumps({"auths": {host: entry or auth}}))


@pytest.fixture
def client(store: Store, registry: FakeRegistry) -> Client:
    registry.put("team/app", "1", IMAGE)
    return Client(store)


def layer_path(image: Image = IMAGE, layer: bytes = LAYER) -> str:
    return "/v2/team/app/blobs/sha256:" + hashlib.sha256(layer).hexdigest()


def test_a_manifest_comes_as_it_is(registry: FakeRegistry, client: Client) -> None:
    found = client.manifest(registry.host)
    assert (found.data, f"sha256:{found.sha256}") == (IMAGE.manifest, IMAGE.digest)
    assert found.content_type == "application/vnd.oci.image.manifest.v1+json"
    assert registry.asked[-1].accept == (
        "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, "
        "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
    )


def test_a_token_is_asked_for_once_and_used_for_all(registry: FakeRegistry, client: Client) -> None:
    registry.auth = "token"
    client.manifest(registry.host)
    client.blob(registry.host)
    assert registry.paths() == [
        "/v2/team/app/manifests/1",
        "/token",
        "/v2/team/app/manifests/1",
        layer_path(),
    ]
    assert [one.authorization for one in registry.asked] == [None, None, "Bearer t0", "Bearer t0"]


def test_each_repository_has_its_own_token(registry: FakeRegistry, client: Client) -> None:
    registry.auth = "token"
    registry.put("other/app", "1", IMAGE)
    client.manifest(registry.host)
    client.registry.manifest(parse_reference(f"{registry.host}/other/app:1", place="here"))
    assert registry.tokens == ["t0", "t1"]


def test_a_token_that_expires_is_renewed(registry: FakeRegistry, client: Client) -> None:
    registry.auth = "token"
    client.manifest(registry.host)
    registry.expired.update(registry.tokens)
    client.blob(registry.host)
    assert registry.tokens == ["t0", "t1"]
    assert client.waited == []


def test_a_token_that_expires_between_two_parts_of_a_blob(registry: FakeRegistry, client: Client) -> None:
    registry.auth = "token"
    client.manifest(registry.host)
    challenge = {"WWW-Authenticate": registry.challenge()}
    registry.faults[layer_path()] = [Answer(body=LAYER, cut=2 * MIB + 5), Answer(status=401, headers=challenge)]
    client.blob(registry.host)
    parts = [one for one in registry.asked if one.path == layer_path()]
    assert [one.authorization for one in parts] == ["Bearer t0", "Bearer t0", "Bearer t1"]
    assert parts[1].range == parts[2].range in (f"bytes={2 * MIB}-", f"bytes={2 * MIB + 5}-")


def test_a_login_is_sent_to_the_token_server_alone(registry: FakeRegistry, client: Client, tmp_path: Path) -> None:
    registry.auth, registry.anonymous = "token", False
    log_in(tmp_path, registry.host)
    client.manifest(registry.host)
    assert [one.authorization for one in registry.asked] == [None, BASIC, "Bearer t0"]


def test_an_identity_token_is_posted(registry: FakeRegistry, client: Client, tmp_path: Path) -> None:
    registry.auth, registry.anonymous = "token", False
    log_in(tmp_path, registry.host, identitytoken=PASSWORD)
    client.manifest(registry.host)
    assert registry.asked[1].form == {
        "grant_type": "refresh_token",
        "refresh_token": PASSWORD,
        "client_id": "ferry",
        "service": "fake",
        "scope": "repository:any:pull",
    }


def test_a_password_for_basic(registry: FakeRegistry, client: Client, tmp_path: Path) -> None:
    registry.auth = "basic"
    log_in(tmp_path, registry.host)
    client.manifest(registry.host)
    client.blob(registry.host)
    assert [one.authorization for one in registry.asked] == [None, BASIC, BASIC]


@pytest.mark.parametrize(
    ("auth", "login", "why", "requests"),
    [
        ("basic", "", "asks for a user and a password, asked without a login", 1),
        ("basic", "eve:wrong", 'asks for a user and a password, asked as "eve"', 2),
        ("token", "", "gives no token (its token server answered 401), asked without a login", 2),
        ("token", "eve:wrong", 'gives no token (its token server answered 401), asked as "eve"', 2),
    ],
)
def test_who_may_not_is_told_what_to_do(
    auth: str, login: str, why: str, requests: int, registry: FakeRegistry, client: Client, tmp_path: Path
) -> None:
    registry.auth, registry.anonymous = auth, False
    if login:
        log_in(tmp_path, registry.host, auth=base64.b64encode(login.encode()).decode())
    with pytest.raises(TransferError) as refused:
        client.manifest(registry.host)
    host = registry.host
    assert str(refused.value) == f"{host}/team/app:1: no registry gives the image: {host}: the registry {why}"
    assert refused.value.hint == LOGIN.format(host=host)
    # A wrong password is not tried again and again: accounts are locked for that.
    assert (len(registry.asked), client.waited) == (requests, [])


def test_a_token_that_is_always_refused(registry: FakeRegistry, client: Client) -> None:
    registry.auth, registry.refuse = "token", True
    with pytest.raises(TransferError) as refused:
        client.manifest(registry.host)
    assert str(refused.value).endswith("the registry refuses access (answered 401), asked without a login")
    assert registry.tokens == ["t0", "t1"]


def test_a_refused_blob_says_so_too(registry: FakeRegistry, client: Client) -> None:
    registry.faults[layer_path()] = [Answer(status=403)]
    with pytest.raises(TransferError) as refused:
        client.blob(registry.host)
    assert str(refused.value) == (
        f"{hashlib.sha256(LAYER).hexdigest()}: no source has the file: {registry.url}{layer_path()}: {registry.host}: "
        "the registry refuses access (answered 403), asked without a login"
    )
    assert refused.value.hint == LOGIN.format(host=registry.host)


@pytest.mark.parametrize(
    ("realm", "says"),
    [
        ("ftp://x/token", 'expected its token server at an https URL, got "ftp://x/token"'),
        ("{url}/nothing", "the registry gives no token (its token server answered 404), asked without a login"),
        ("{url}/odd", "expected a token from its token server, got something else"),
    ],
)
def test_a_token_server_that_makes_no_sense(realm: str, says: str, registry: FakeRegistry, client: Client) -> None:
    registry.auth, registry.realm = "token", realm.replace("{url}", registry.url)
    registry.faults["/odd"] = [Answer(body=b'{"token": "a\\r\\nb: c"}')]
    registry.faults["/nothing"] = [Answer(status=404)]
    with pytest.raises(TransferError) as refused:
        client.manifest(registry.host)
    assert str(refused.value).endswith(f"{registry.host}: {says}")


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_registry_is_waited_for(status: int, registry: FakeRegistry, client: Client) -> None:
    busy = Answer(status=status, headers={"Retry-After": "7"})
    registry.faults = {"/v2/team/app/manifests/1": [busy], layer_path(): [busy]}
    client.manifest(registry.host)
    client.blob(registry.host)
    assert client.waited == [7.0, 7.0]


def test_a_registry_that_stays_busy(registry: FakeRegistry, client: Client) -> None:
    registry.faults["/v2/team/app/manifests/1"] = [Answer(status=429)] * 4
    with pytest.raises(TransferError) as refused:
        client.manifest(registry.host)
    url = f"{registry.url}/v2/team/app/manifests/1"
    assert str(refused.value) == (
        f"{registry.host}/team/app:1: no registry gives the image: {url}: no answer: answered 429, 4 attempts"
    )
    assert client.waited == [1.0, 2.0, 4.0]


def test_another_host_never_sees_the_authorization(registry: FakeRegistry, client: Client, tmp_path: Path) -> None:
    registry.auth = "basic"
    log_in(tmp_path, registry.host)
    with FakeRegistry() as storage:
        storage.blobs = registry.blobs
        registry.blobs_at = storage.url
        storage.faults[layer_path()] = [Answer(body=LAYER, cut=2 * MIB)]
        client.blob(registry.host)
        assert [one.authorization for one in storage.asked] == [None, None]
        assert storage.asked[1].range == f"bytes={2 * MIB}-"
    assert {one.authorization for one in registry.asked} == {None, BASIC}


def test_a_challenge_of_another_host_is_not_answered(registry: FakeRegistry, client: Client, tmp_path: Path) -> None:
    log_in(tmp_path, registry.host)
    with FakeRegistry(auth="basic") as storage:
        registry.blobs_at = storage.url
        with pytest.raises(TransferError) as refused:
            client.blob(registry.host)
        assert str(refused.value).endswith(f"{registry.url}{layer_path()}: answered 401")
        assert [one.authorization for one in storage.asked] == [None]


def test_a_cut_blob_is_resumed(registry: FakeRegistry, client: Client) -> None:
    registry.faults[layer_path()] = [Answer(body=LAYER, cut=2 * MIB)]
    client.blob(registry.host)
    assert [one.range for one in registry.asked] == [None, f"bytes={2 * MIB}-"]


def test_wrong_bytes_stop(registry: FakeRegistry, client: Client) -> None:
    wrong = LAYER[:-1] + b"!"
    registry.faults[layer_path()] = [Answer(body=wrong)]
    with pytest.raises(IntegrityError) as refused:
        client.blob(registry.host)
    right, got = (hashlib.sha256(data).hexdigest() for data in (LAYER, wrong))
    assert str(refused.value) == (
        f"{registry.url}{layer_path()}: "
        f"expected {len(LAYER)} bytes with sha256 {right}, got {len(LAYER)} bytes with {got}"
    )


def test_a_manifest_that_is_not_the_one_asked_for(registry: FakeRegistry, client: Client) -> None:
    changed = IMAGE.manifest + b" "
    registry.manifests[f"team/app/{IMAGE.digest}"] = (IMAGE.media_type, changed)
    wanted = parse_reference(f"{registry.host}/team/app@{IMAGE.digest}", place="here")
    got = hashlib.sha256(changed).hexdigest()
    with pytest.raises(IntegrityError) as refused:
        client.registry.manifest(wanted)
    hex_ = IMAGE.digest.removeprefix("sha256:")
    assert str(refused.value) == f"{wanted}: expected sha256 {hex_}, got {len(changed)} bytes with {got}"
    assert refused.value.hint == "the registry or its mirror serves other bytes than were asked for: stop"
    part = LockedBlob(media_type=IMAGE.media_type, size=len(IMAGE.manifest), sha256=hex_)
    with pytest.raises(IntegrityError) as refused:
        client.registry.manifest(reference(registry.host), part)
    assert str(refused.value) == (
        f"{registry.host}/team/app:1: "
        f"expected {part.size} bytes with sha256 {hex_}, got {len(changed)} bytes with {got}"
    )


def test_an_endless_manifest_is_not_read(registry: FakeRegistry, client: Client) -> None:
    registry.manifests["team/app/1"] = ("", bytes(5 * MIB))
    with pytest.raises(ResolveError) as refused:
        client.manifest(registry.host)
    url = f"{registry.url}/v2/team/app/manifests/1"
    assert str(refused.value) == (
        f"{registry.host}/team/app:1: no registry gives the image: {url}: expected at most {4 * MIB} bytes, got more"
    )


def test_an_image_that_is_not_there(registry: FakeRegistry, client: Client) -> None:
    with pytest.raises(ResolveError) as refused:
        client.manifest(registry.host, "2")
    url = f"{registry.url}/v2/team/app/manifests/2"
    assert str(refused.value) == f"{registry.host}/team/app:2: no registry gives the image: {url}: answered 404"
    assert refused.value.hint == "check the name, the tag and that the registry has it"


def test_a_mirror_is_asked_first(
    registry: FakeRegistry, store: Store, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeRegistry(auth="token") as mirror:
        mirror.put("prefix/team/app", "1", IMAGE)
        monkeypatch.setenv("FERRY_REGISTRY_MIRRORS", f"{registry.host}={mirror.host}/prefix")
        mirrored = Client(store)
        assert mirrored.manifest(registry.host).data == IMAGE.manifest
        assert registry.paths() == []
        mirror.blobs.clear()
        mirrored.blob(registry.host)
        assert mirror.paths()[-1] == layer_path().replace("team", "prefix/team")
        assert registry.paths() == [layer_path()]


def test_a_mirror_that_is_down_is_not_waited_for(
    registry: FakeRegistry, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeRegistry() as gone:
        monkeypatch.setenv("FERRY_REGISTRY_MIRRORS", f"{registry.host}={gone.host}")
    registry.put("team/app", "1", IMAGE)
    client = Client(store)
    assert client.manifest(registry.host).data == IMAGE.manifest
    client.blob(registry.host)
    assert client.waited == []


def test_what_no_mirror_and_no_registry_has(
    registry: FakeRegistry, store: Store, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeRegistry() as mirror:
        monkeypatch.setenv("FERRY_REGISTRY_MIRRORS", f"{registry.host}={mirror.host}")
        with pytest.raises(ResolveError) as refused:
            Client(store).manifest(registry.host, "2")
        urls = [f"{one.url}/v2/team/app/manifests/2: answered 404" for one in (mirror, registry)]
    assert str(refused.value) == f"{registry.host}/team/app:2: no registry gives the image: {'; '.join(urls)}"


@pytest.mark.parametrize(
    "text", ["docker.io", "=m.local", "docker.io=", "docker.io=https://m.local", "docker.io=m.local/"]
)
def test_mirrors_that_make_no_sense(text: str) -> None:
    with pytest.raises(HostError) as refused:
        read_mirrors({"FERRY_REGISTRY_MIRRORS": text})
    assert str(refused.value) == f'FERRY_REGISTRY_MIRRORS: expected HOST=MIRROR[/PREFIX], got "{text}"'


def test_mirrors_stand_in_their_order() -> None:
    text = "docker.io=m.local/hub, quay.io=m.local/quay docker.io=n.local:5000"
    assert read_mirrors({"FERRY_REGISTRY_MIRRORS": text}) == {
        "docker.io": ("m.local/hub", "n.local:5000"),
        "quay.io": ("m.local/quay",),
    }


@pytest.mark.parametrize(
    ("text", "challenge"),
    [
        (
            'Bearer realm="https://a/t",service="s, t",scope="repository:a:pull,push"',
            ("bearer", {"realm": "https://a/t", "service": "s, t", "scope": "repository:a:pull,push"}),
        ),
        ("basic realm=here", ("basic", {"realm": "here"})),
        ('Negotiate, Basic realm="x", Bearer realm="https://a/t"', ("basic", {"realm": "x"})),
        ('Bearer realm="https://a/t", Basic realm="x"', ("bearer", {"realm": "https://a/t"})),
        ("Digest realm=x", ("", {})),
        ("", ("", {})),
    ],
)
def test_challenges(text: str, challenge: tuple[str, dict[str, str]]) -> None:
    assert parse_challenge(text) == challenge


def test_docker_hub_has_another_host_for_its_api(client: Client) -> None:
    wanted = parse_reference("docker.io/redis:7.2", place="here")
    assert client.registry.urls(wanted, "manifests", "7.2") == [
        "https://registry-1.docker.io/v2/library/redis/manifests/7.2"
    ]


def test_plain_http_is_for_loopback_and_for_what_is_named(
    client: Client, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # A host that never answers (RFC 5737) and so speaks no TLS.
    monkeypatch.setattr(Transport, "speaks_tls", lambda self, host: False)
    assert client.registry.urls(reference("192.0.2.1:5000"), "blobs", "x")[0].startswith("https://192.0.2.1:5000/")
    monkeypatch.setenv("FERRY_INSECURE_REGISTRIES", "192.0.2.1:5000")
    with caplog.at_level(logging.WARNING):
        named = Client(store).registry
        assert named.urls(reference("192.0.2.1:5000"), "blobs", "x") == ["http://192.0.2.1:5000/v2/team/app/blobs/x"]
        assert named.urls(reference("192.0.2.2"), "blobs", "x") == ["https://192.0.2.2/v2/team/app/blobs/x"]
    assert caplog.messages == [
        "warning: 192.0.2.1:5000 is spoken to over plain http, as FERRY_INSECURE_REGISTRIES says"
    ]


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return make_certificate(tmp_path / "registry.pem")


def test_a_private_authority(
    registry: FakeRegistry, store: Store, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeRegistry(certificate=certificate) as private:
        private.put("team/app", "1", IMAGE)
        with pytest.raises(TransferError) as refused:
            Client(store).manifest(private.host)
        url = f"{private.url}/v2/team/app/manifests/1"
        assert str(refused.value) == (
            f"{private.host}/team/app:1: no registry gives the image: {url}: no answer: "
            "its certificate is not one that this host trusts"
        )
        hint = "check the network, and name a certificate authority of your own in SSL_CERT_FILE"
        assert refused.value.hint == hint
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert Client(store).manifest(private.host).data == IMAGE.manifest
        private.blobs_at = registry.url
        registry.blobs = IMAGE.blobs
        with pytest.raises(TransferError) as refused:
            Client(store).blob(private.host)
        assert str(refused.value).endswith(f"{layer_path()}: leads from https to plain http")
