"""The lint over the items of a bundle: images of small layers, wheels, files, services."""

import gzip
import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from artifacts import link, make_tar, make_wheel
from backports import zstd
from values import service

from bundler.errors import IntegrityError, RecipeError
from bundler.model.descriptor import IMAGE_CONFIG, IMAGE_MANIFEST, LAYER, OCTETS, WHEEL, Descriptor
from bundler.model.egress import Allowed, Attempt
from bundler.model.manifest import Item
from bundler.model.service import Service
from bundler.scan.egress import Blobs, scan_items
from bundler.scan.finding import Finding, judge, make_report, parse_allows, refuse
from bundler.store import Store

NAME = "registry.example/app:1.0"
ENTRY = b"#!/bin/sh\nset -e\nnpx -y @modelcontextprotocol/server-fetch\n"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def item(kind: str, name: str, descriptor: Descriptor, **more: Any) -> Item:
    return Item(kind=kind, name=name, version="1", purl="pkg:generic/x@1", descriptor=descriptor, **more)


def image(
    store: Store, *layers: bytes, config: object = None, name: str = NAME, composed: bool = False, kind: str = LAYER
) -> list[Item]:
    """Put an image of these layers into the store; return its items as a bundle lists them."""
    source = (("composed", "ferry"),) if composed else (("reference", name),)
    parts = [store.put(json.dumps(config or {}).encode(), IMAGE_CONFIG), *(store.put(one, kind) for one in layers)]
    digests = [{"digest": f"sha256:{part.sha256}", "size": part.size, "mediaType": part.media_type} for part in parts]
    document = {"schemaVersion": 2, "mediaType": IMAGE_MANIFEST, "config": digests[0], "layers": digests[1:]}
    manifest = store.put(json.dumps(document).encode(), IMAGE_MANIFEST)
    lineage = tuple(f"sha256:{part.sha256}" for part in parts[1:])
    head = item("image", name, manifest, source=source, lineage=lineage)
    return [head, *(item("layer", name, part, source=source) for part in parts)]


def file(store: Store, name: str, data: bytes) -> Item:
    return item("file", name, store.put(data, OCTETS), to=f"srv/app/{name}")


def wheel(store: Store, name: str, files: dict[str, bytes]) -> Item:
    filename, data = make_wheel(name, "1.0", files)
    return item("wheel", filename, store.put(data, WHEEL))


def scan(store: Store, items: Sequence[Item], *services: Service) -> list[Finding]:
    return scan_items(items, services, Blobs(lambda one: store.path(one.sha256).open("rb"), store))


def told(findings: Sequence[Finding]) -> list[tuple[str, str, str]]:
    return sorted((one.severity, one.rule, one.shown_place) for one in findings)


PACKED = {"plain": bytes, "gzip": gzip.compress, "zstd": zstd.compress}


@pytest.mark.parametrize("packed", PACKED.values(), ids=PACKED)
def test_a_script_that_an_image_starts_is_an_error_and_another_a_warning(packed: Any, store: Store) -> None:
    layer = packed(make_tar(("usr/local/bin/entry.sh", ENTRY), ("./app/other.sh", ENTRY), ("usr/bin/tool", ENTRY)))
    items = image(store, layer, config={"config": {"Entrypoint": ["/usr/local/bin/entry.sh"], "Cmd": ["serve"]}})
    assert told(scan(store, items)) == [
        ("error", "npx", f"{NAME}:usr/local/bin/entry.sh:3"),
        ("info", "npx", f"{NAME}:usr/bin/tool:3"),
        ("warning", "npx", f"{NAME}:app/other.sh:3"),
    ]


def test_what_the_configuration_of_an_image_says(store: Store) -> None:
    config = {
        "config": {
            "Entrypoint": ["/bin/sh", "-c"],
            "Cmd": ["pip install x && python -m app"],
            "Env": ["PIP_INDEX_URL=https://me:secret@mirror.example/simple", "PATH=/bin", "HOME"],
            "Healthcheck": {"Test": ["CMD", "curl", "-f", "https://status.example.com/"]},
        }
    }
    findings = scan(store, image(store, config=config))
    assert told(findings) == [
        ("error", "curl", f"{NAME}:Healthcheck"),
        ("error", "pip-install", f"{NAME}:Entrypoint"),
        ("warning", "index-setting", f"{NAME}:environment.PIP_INDEX_URL"),
    ]
    assert {one.rule: one.found for one in findings} == {
        "curl": "CMD curl -f https://status.example.com/",
        "pip-install": "/bin/sh -c pip install x && python -m app",
        "index-setting": "PIP_INDEX_URL=https://***@mirror.example/simple",
    }


def test_a_script_of_the_system_runs_when_an_image_starts_it(store: Store) -> None:
    layer = make_tar(("usr/bin/start", ENTRY), ("usr/bin/other", ENTRY))
    assert told(scan(store, image(store, layer, config={"config": {"Cmd": ["start"]}}))) == [
        ("error", "npx", f"{NAME}:usr/bin/start:3"),
        ("info", "npx", f"{NAME}:usr/bin/other:3"),
    ]


@pytest.mark.parametrize("config", [[], {"config": []}, {"config": {"Entrypoint": "npx x", "Env": {"A": 1}}}, "text"])
def test_a_configuration_of_another_shape_is_none(config: object, store: Store) -> None:
    assert scan(store, image(store, config=config)) == []


def test_mcp_servers_of_an_image(store: Store) -> None:
    servers = json.dumps({"mcpServers": {"fetch": {"command": "uvx", "args": ["mcp-server-fetch"]}}}).encode()
    layer = make_tar(("etc/mcp.json", servers), ("usr/lib/node_modules/x/mcp.json", servers), ("a.json", b'{"a": 1}'))
    assert told(scan(store, image(store, layer))) == [
        ("error", "uvx", f"{NAME}:etc/mcp.json:1"),
        ("info", "uvx", f"{NAME}:usr/lib/node_modules/x/mcp.json:1"),
    ]


def test_a_file_that_a_later_layer_removes_is_not_found(store: Store) -> None:
    names = ("app/a.sh", "app/b.sh", "app/deep/c.sh", "srv/d.sh")
    lower = make_tar(*((name, ENTRY) for name in names))
    upper = make_tar(("app/.wh.a.sh", b""), ("app/.wh.deep", b""), ("srv/.wh..wh..opq", b""), ("srv/e.sh", ENTRY))
    places = [place for _, _, place in told(scan(store, image(store, lower, upper)))]
    assert places == [f"{NAME}:app/b.sh:3", f"{NAME}:srv/e.sh:3"]


def test_links_and_directories_of_a_layer_are_passed_over(store: Store) -> None:
    layer = make_tar(("app", None), ("app/a.sh", link("/etc/passwd")), ("app/b.sh", link("app/x.sh", hard=True)))
    assert scan(store, image(store, layer)) == []


PACKAGE = "usr/lib/python3/dist-packages/transformers/__init__.py"


def test_a_package_of_an_image_that_asks_a_hub_unless_it_is_told_not_to(store: Store) -> None:
    layer = make_tar((PACKAGE, b""), ("opt/venv/lib/python3.11/site-packages/tiktoken/__init__.py", b""))
    findings = scan(store, image(store, layer, config={"config": {"Env": ["TIKTOKEN_CACHE_DIR=/srv/tiktoken"]}}))
    assert findings == [
        Finding(
            rule="hub-offline",
            severity="warning",
            item=NAME,
            path="environment",
            found="transformers without HF_HUB_OFFLINE",
        )
    ]
    told_not_to = {"config": {"Env": ["HF_HUB_OFFLINE=1", "TIKTOKEN_CACHE_DIR=/"]}}
    assert scan(store, image(store, layer, config=told_not_to)) == []


def test_an_image_that_ferry_composed_is_told_by_its_parts(store: Store) -> None:
    layer = make_tar(("app/a.sh", ENTRY))
    environment = ["GOPROXY=https://a.example", "HF_ENDPOINT=https://b.example"]
    items = image(store, layer, config={"config": {"Entrypoint": ["npx", "x"], "Env": environment}}, composed=True)
    one = service(environment=(("GOPROXY", "https://a.example"),))
    assert told(scan(store, items, one)) == [
        ("warning", "hub-host", f"{NAME}:environment.HF_ENDPOINT"),
        ("warning", "index-setting", "services.app:environment.GOPROXY"),
    ]


def test_an_image_called_latest(store: Store) -> None:
    assert told(scan(store, image(store, name="registry.example/app:latest"))) == [
        ("warning", "latest", "registry.example/app:latest")
    ]


def test_services_and_the_files_that_they_start(store: Store) -> None:
    items = [
        file(store, "service/start.sh", ENTRY),
        file(store, "service/other.sh", ENTRY),
        file(store, "service/app.py", b'\nimport os\nos.system("uvx tool")\n'),
        file(store, "service/pip.conf", b"[global]\nindex-url = https://mirror.example/simple\n"),
        file(store, "service/data.bin", ENTRY),
        file(store, "service/run", ENTRY),
    ]
    one = service(name="one", run=("sh", "srv/app/start.sh"))
    two = service(name="two", run=("npx", "-y", "server"), port=8081)
    assert told(scan(store, items, one, two)) == [
        ("error", "npx", "service/start.sh:3"),
        ("error", "npx", "services.two:run"),
        ("warning", "index-setting", "service/pip.conf:2"),
        ("warning", "npx", "service/other.sh:3"),
        ("warning", "npx", "service/run:3"),
        ("warning", "uvx", "service/app.py:3"),
    ]


def test_library_code_is_summed_up_by_wheel_and_rule(store: Store) -> None:
    code = b'nltk.download("punkt")\nnltk.download("words")\n'
    files = {"one/a.py": code, "one/b.py": code, "one/tests/c.py": code, "one/README": b"npx x", "one/run.sh": ENTRY}
    assert scan(store, [wheel(store, "one", files)]) == [
        Finding(
            rule="nltk",
            severity="info",
            item="one-1.0-py3-none-any.whl",
            path="one/a.py",
            line=1,
            found='nltk.download("punkt")',
            count=4,
        ),
        Finding(
            rule="npx",
            severity="info",
            item="one-1.0-py3-none-any.whl",
            path="one/run.sh",
            line=3,
            found="npx -y @modelcontextprotocol/server-fetch",
        ),
    ]


def test_a_wheel_that_fetches_on_demand_is_held_back_by_environment_or_by_code(store: Store) -> None:
    items = [wheel(store, "tiktoken", {}), wheel(store, "NLTK", {})]
    findings = scan(store, items, service())
    assert {one.item for one in findings} == {"services.app"}
    assert [one.found for one in findings] == ["tiktoken without TIKTOKEN_CACHE_DIR", "nltk without NLTK_DATA"]
    held = service(environment=(("NLTK_DATA", "/srv/nltk"),))
    code = file(store, "service/app.py", b'os.environ.setdefault("TIKTOKEN_CACHE_DIR", "/srv/tiktoken")\n')
    assert scan(store, [*items, code], held) == []


def test_what_was_read_once_is_remembered(store: Store) -> None:
    items = [*image(store, make_tar(("app/a.sh", ENTRY), (PACKAGE, b""))), wheel(store, "one", {"one/run.sh": ENTRY})]
    read: list[str] = []

    def opened(one: Descriptor) -> io.BufferedReader:
        read.append(one.media_type)
        return store.path(one.sha256).open("rb")

    first = scan_items(items, (), Blobs(opened, store))
    assert sorted(read) == sorted([IMAGE_MANIFEST, IMAGE_CONFIG, LAYER, WHEEL])
    read.clear()
    assert scan_items(items, (), Blobs(opened, store)) == first
    assert sorted(read) == sorted([IMAGE_MANIFEST, IMAGE_CONFIG])


def bomb() -> bytes:
    """A tar of one member of zeros, a hundred and more times smaller when compressed."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb") as stream:
        head = make_tar(("app/zeros", b""))[:512]
        size = 2 << 30
        stream.write(_resized(head, size))
        piece = bytes(1 << 24)
        for _ in range(size // len(piece)):
            stream.write(piece)
        stream.write(bytes(1024))
    return out.getvalue()


def _resized(head: bytes, size: int) -> bytes:
    changed = head[:124] + f"{size:011o}\0".encode() + b" " * 0 + head[136:148] + b" " * 8 + head[156:]
    return changed[:148] + f"{sum(changed):06o}\0 ".encode() + changed[156:]


def large_header() -> bytes:
    """A member whose extended header says that it has 16 GiB."""
    head = make_tar(("a", b""))[:512]
    head = head[:156] + b"x" + head[157:]
    return _resized(head, (1 << 33) - 1) + bytes(2048)


def strange_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("one/a.py", "x = 1\n" * 1000)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "kind", "says"),
    [
        (b"neither tar nor zip", "wheel", "BadZipFile: File is not a zip file"),
        (strange_zip(), "wheel", "NotImplementedError: compression 14 of a member"),
        (b"\x1f\x8bbut no more", "layer", "BadGzipFile: Unknown compression method"),
        (gzip.compress(make_tar(("a.sh", ENTRY)))[:60], "layer", "EOFError: Compressed file ended"),
        (make_tar(("a.sh", ENTRY))[:520], "layer", "ReadError: unexpected end of data"),
        (b"\x28\xb5\x2f\xfdbut no more", "layer", "ZstdError: "),
        (large_header(), "layer", "ReadError: an extended header of 8589934591 bytes"),
        (bomb(), "layer", "it unpacks to more than a hundred times its size"),
    ],
    ids=["no zip", "strange zip", "no gzip", "cut gzip", "cut", "no zstd", "header", "bomb"],
)
def test_what_cannot_be_read_never_reads_clean(data: bytes, kind: str, says: str, store: Store) -> None:
    wheels = [item("wheel", "one-1.0-py3-none-any.whl", store.put(data, WHEEL))]
    items = image(store, data) if kind == "layer" else wheels
    (found,) = [one for one in scan(store, items) if one.rule == "unscanned"]
    assert found.severity == "error"
    assert found.found.startswith(says)


def test_a_layer_of_many_findings_says_that_there_are_more(store: Store) -> None:
    layer = make_tar(*((f"app/{index}.sh", b"npx x\n") for index in range(501)))
    findings = scan(store, image(store, layer))
    assert len(findings) == 501
    assert (findings[-1].rule, findings[-1].found) == ("unscanned", "more than 500 findings")


FINDINGS = [
    Finding(rule="npx", severity="error", item=NAME, path="entry.sh", line=3, found="npx -y x"),
    Finding(rule="latest", severity="warning", item="a/b:latest", found="a/b:latest"),
    Finding(rule="nltk", severity="info", item="one.whl", path="one/a.py", line=1, found="nltk.download()", count=4),
]
ATTEMPT = Attempt(service="app", process="python3 -m app", protocol="tcp", destination="api.example.com:443")


def allow(rule: str, where: str) -> Allowed:
    return Allowed(rule=rule, where=where, reason="the site has it")


def test_an_error_is_refused_with_its_remedy() -> None:
    with pytest.raises(RecipeError) as refused:
        refuse(make_report(FINDINGS, ()))
    assert str(refused.value) == (
        "egress: expected nothing that reaches out at run time, got 1:\n"
        "  registry.example/app:1.0:entry.sh:3: npx: npx -y x"
    )
    assert refused.value.hint == (
        "install the package into the image when it is built and name its program (node_modules/.bin/NAME); "
        "npx --no refuses to fetch; or allow it in the recipe: "
        'egress: {allow: [{rule: npx, where: "registry.example/app:1.0:entry.sh", reason: "..."}]}'
    )


def test_a_connection_is_refused_with_process_and_destination() -> None:
    with pytest.raises(RecipeError) as refused:
        judge([], (), [ATTEMPT])
    assert str(refused.value) == (
        "egress: expected nothing that reaches out at run time, got 1:\n"
        "  services.app: python3 -m app (tcp) tries to reach api.example.com:443"
    )
    assert refused.value.hint == (
        "switch off what connects (telemetry, update checks, downloads) in the service's environment, or carry what "
        "it fetches; or allow it in the recipe: "
        'egress: {allow: [{rule: connection, where: "api.example.com:443", reason: "..."}]}'
    )


@pytest.mark.parametrize("where", ["api.example.com:443", "*.example.com:*", "*"])
def test_a_connection_may_be_allowed(where: str) -> None:
    report = judge([], [allow("connection", where)], [ATTEMPT])
    assert [one.item for one in report.findings] == ["api.example.com:443"]
    assert report.refused == ()


@pytest.mark.parametrize("where", ["api.example.com:80", "api.example.com", "*.org:443"])
def test_another_destination_stays_refused(where: str) -> None:
    with pytest.raises(RecipeError, match=r"tries to reach api\.example\.com:443$"):
        judge([], [allow("connection", where)], [ATTEMPT])


def test_what_is_allowed_is_found_no_more() -> None:
    report = judge(FINDINGS, [allow("npx", "registry.example/*:entry.sh"), allow("nltk", "one.whl:*")], None)
    assert report.refused == ()
    assert [one.rule for one in report.findings] == ["npx", "latest", "nltk"]


@pytest.mark.parametrize(
    ("allowed", "says", "hint"),
    [
        (
            allow("npx", "registry.example/other:*"),
            'egress.allow[1]: nothing that "npx" finds is at "registry.example/other:*"',
            "correct the glob, or remove what is no longer needed; `ferry scan egress` lists the places",
        ),
        (
            allow("npxx", "*"),
            "egress.allow[1].rule: expected one of connection, curl, git-clone, hub-download, hub-host, "
            "hub-offline, image-pull, index-host, index-setting, latest, mcp-remote, modelscope-cache, nltk, "
            "nltk-data, npm-install, npx, os-install, pip-install, playwright, playwright-browsers, spacy, telemetry, "
            'tiktoken, tiktoken-cache, unscanned, uv-run, uvx, got "npxx"',
            None,
        ),
    ],
)
def test_what_is_allowed_and_never_found_is_refused(allowed: Allowed, says: str, hint: str | None) -> None:
    with pytest.raises(RecipeError) as refused:
        judge(FINDINGS, [allow("npx", "*"), allowed], ())
    assert (str(refused.value), refused.value.hint) == (says, hint)


def test_an_unused_connection_is_refused_only_after_a_boot() -> None:
    assert judge([], [allow("connection", "*")], None).findings == ()
    with pytest.raises(RecipeError, match=r'^egress\.allow\[0\]: nothing that "connection" finds is at "\*"$'):
        judge([], [allow("connection", "*")], ())


def test_a_report_is_the_same_whatever_the_order_and_says_what_is_allowed() -> None:
    allowed = (allow("npx", "*"),)
    report = make_report(FINDINGS, allowed).document()
    assert make_report(reversed(FINDINGS), allowed).document() == report
    assert parse_allows(report) == allowed
    assert [one["severity"] for one in json.loads(report)["findings"]] == ["error", "warning", "info"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\xff", "egress.json: expected a report in JSON"),
        (b"[]", "document: expected a mapping, got a list"),
        (b'{"format": "ferry/egress/v2"}', 'format: expected "ferry/egress/v1", got "ferry/egress/v2"'),
        (b'{"format": "ferry/egress/v1"}', "allowed: expected a list, the field is missing"),
    ],
)
def test_a_report_that_is_none_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(IntegrityError) as refused:
        parse_allows(data)
    assert str(refused.value) == says


def test_digests_keep_rules_apart(store: Store) -> None:
    """What an older set of rules found is not taken for what this one finds."""
    wheel(store, "one", {"one/run.sh": ENTRY})
    from bundler.scan import rules

    raw = (Path(rules.__file__).with_name("rules.json")).read_bytes()
    assert rules.read_rules().digest == hashlib.sha256(raw).hexdigest()
