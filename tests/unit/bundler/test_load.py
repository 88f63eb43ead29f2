import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from bundler.errors import RecipeError
from bundler.load import format_lock, lock_path, read_lock, read_recipe
from bundler.model.composed import ComposedImage
from bundler.model.files import FileSource
from bundler.model.platform import PLATFORMS
from bundler.model.python import PythonSource
from bundler.model.service import Probe

RECIPES = Path(__file__).resolve().parents[3] / "recipes"
SHIPPED = sorted(path.parent.name for path in RECIPES.glob("*/recipe.yaml"))
PATH_HINT = "use a relative path with forward slashes and no '..'"


def recipe_document() -> dict[str, Any]:
    return {
        "format": "ferry/recipe/v1",
        "name": "sample",
        "version": "1.0",
        "sequence": 3,
        "as_of": "2026-01-31",
        "platforms": ["linux/amd64", "linux/arm64"],
        "python": {"version": "3.11", "debian": "bookworm", "packages": ["python3.11-minimal", "libstdc++6"]},
        "wheels": ["one==1.0"],
        "requirements": ["./reqs/a.txt", "reqs/a.txt", "pylock.toml"],
        "constraints": ["c.txt"],
        "indexes": {"Torch_X": "cu-124"},
        "build": ["hatchling"],
        "files": [{"path": "./src//app", "to": "srv/app"}],
        "services": [
            {"name": "model", "run": ["python", "-m", "m"], "directory": "srv", "port": 1, "ready": "/r"},
            {
                "name": "agent",
                "run": ["python", "-m", "a"],
                "directory": "srv/app",
                "port": 65535,
                "ready": "/ready",
                "environment": {"B": "2", "A": "1"},
                "settings": ["MODEL_URL"],
                "after": ["model"],
                "state": True,
                "probe": {"method": "POST", "path": "/p", "body": "{}", "expect": "ok"},
            },
        ],
        "images": [{"compose": "ferry.local:5000/a/b:1.0", "service": "agent", "environment": {"HOST": "0.0.0.0"}}],
    }


def lock_document() -> dict[str, Any]:
    file = {"name": "one-1.0-py3-none-any.whl", "size": 5, "sha256": "a" * 64, "platforms": ["linux/amd64"]}
    deb = {"name": "dash", "version": "1:0.5-2", "architecture": "amd64", "path": "pool/main/d/dash.deb"}
    return {
        "format": "ferry/lock/v1",
        "name": "sample",
        "version": "1.0",
        "recipe_sha256": "b" * 64,
        "as_of": "2026-01-31",
        "created": "2026-02-01T00:00:00Z",
        "platforms": ["linux/amd64"],
        "python": {
            "version": "3.11",
            "suite": "bookworm",
            "debs": [deb | {"size": 7, "sha256": "c" * 64, "platform": "linux/amd64"}],
        },
        "wheels": [{"name": "one", "version": "1.0", "files": [file]}],
        "build": [],
        "toolchain": [],
        "files": [{"path": "src/app", "to": "srv/app", "size": 0, "sha256": "d" * 64}],
    }


def changed(document: dict[str, Any], place: tuple[str | int, ...], value: object) -> dict[str, Any]:
    """Set one field; `...` takes it away."""
    spot: Any = document
    for key in place[:-1]:
        spot = spot[key]
    if value is ...:
        del spot[place[-1]]
    else:
        spot[place[-1]] = value
    return document


def write(path: Path, content: object) -> Path:
    raw = content if isinstance(content, bytes) else yaml.safe_dump(content, sort_keys=False).encode()
    path.write_bytes(raw)
    return path


def refusal(path: Path, reader: Any = read_recipe) -> RecipeError:
    with pytest.raises(RecipeError) as refused:
        reader(path)
    return refused.value


def test_every_field_of_a_recipe(tmp_path: Path) -> None:
    write(tmp_path / "recipe.yaml", recipe_document())
    recipe = read_recipe(tmp_path)
    assert (recipe.name, recipe.version, recipe.sequence, recipe.as_of) == ("sample", "1.0", 3, "2026-01-31")
    assert (recipe.description, recipe.valid_days, recipe.wheels) == ("", 0, ("one==1.0",))
    assert (recipe.requirements, recipe.constraints) == (("reqs/a.txt", "pylock.toml"), ("c.txt",))
    assert recipe.indexes == (("torch-x", "cu-124"),)
    assert recipe.build == ("hatchling",)
    assert recipe.platforms == PLATFORMS
    packages = ("python3.11-minimal", "libstdc++6")
    assert recipe.python == PythonSource(version="3.11", suite="bookworm", packages=packages)
    assert recipe.files == (FileSource(path="src/app", to="srv/app"),)
    environment = (("HOST", "0.0.0.0"),)
    image = ComposedImage(reference="ferry.local:5000/a/b:1.0", service="agent", environment=environment)
    assert recipe.images == (image,)
    model, agent = recipe.services
    assert agent.environment == (("A", "1"), ("B", "2"))
    assert (agent.after, agent.settings, agent.state, agent.port) == (("model",), ("MODEL_URL",), True, 65535)
    assert agent.probe == Probe(method="POST", path="/p", body="{}", expect="ok")
    assert (model.probe, model.start_timeout_s, model.memory_max_mib, model.unless) == (None, 60, 0, "")


SERVICE = ("services", 0)
AGENT = ("services", 1)
PLATFORM = 'expected one of "linux/amd64", "linux/arm64", got'
NAME = "expected a name of lower-case letters, digits, dots and hyphens, at most 50 characters, got"
INDEX = "expected the name of an index in lower-case letters, digits and hyphens"
RECIPE_REFUSALS: list[tuple[tuple[str | int, ...], object, str]] = [
    (("wheel",), [], "wheel: unknown field"),
    (("python", "pip"), 1, "python.pip: unknown field"),
    ((*AGENT, "prot"), 1, "services[1].prot: unknown field"),
    ((*AGENT, "probe", "bdoy"), "", "services[1].probe.bdoy: unknown field"),
    (("files", 0, "form"), "", "files[0].form: unknown field"),
    (("images", 0, "form"), "", "images[0].form: unknown field"),
    ((7,), 1, "7: unknown field"),
    ((None,), 1, "None: unknown field"),  # type: ignore[list-item]
    (("\x1b[2J",), 1, "\\x1b[2J: unknown field"),
    (("format",), "ferry/recipe/v2", 'format: expected "ferry/recipe/v1", got "ferry/recipe/v2"'),
    (("format",), ..., "format: expected text, the field is missing"),
    (("name",), ..., "name: expected text, the field is missing"),
    (("name",), "Sample", f'name: {NAME} "Sample"'),
    (("name",), "a" * 51, f'name: {NAME} "{"a" * 51}"'),
    (("name",), "../x", f'name: {NAME} "../x"'),
    (("name",), ["x"], "name: expected text, got a list"),
    (("name",), None, "name: expected text, got nothing"),
    (("name",), {"x": 1}, "name: expected text, got a mapping"),
    (("version",), 1.0, 'version: expected text, got "1.0"'),
    (("version",), "1/2", 'version: expected a version in quotes, got "1/2"'),
    (("description",), "a\nExecStart=b", 'description: expected one line of text, got "a\\nExecStart=b"'),
    (("description",), "a\0b", 'description: expected text without NUL and lone surrogates, got "a\\x00b"'),
    (("sequence",), 0, "sequence: expected at least 1, got 0"),
    (("sequence",), True, 'sequence: expected a whole number, got "True"'),
    (("sequence",), "1", 'sequence: expected a whole number, got "1"'),
    (("sequence",), 1.5, 'sequence: expected a whole number, got "1.5"'),
    (("sequence",), 2**63, f"sequence: expected at most {2**63 - 1}, got a number of more than 64 bits"),
    (("requirements",), ["../a"], 'requirements: expected relative paths, got "../a"'),
    (("constraints",), "c.txt", 'constraints: expected a list, got "c.txt"'),
    (("indexes",), ["x"], "indexes: expected a mapping, got a list"),
    (("indexes", "a b"), "x", 'indexes: expected the name of a distribution, got "a b"'),
    (("indexes", "torch"), "https://u:p@h/", f'indexes: {INDEX} for "torch"'),
    (("indexes", "torch.x"), "other", 'indexes: "torch.x" stands twice'),
    (("as_of",), "2026-02-30", 'as_of: expected a date in quotes, "YYYY-MM-DD", got "2026-02-30"'),
    (("as_of",), "2026-1-1", 'as_of: expected a date in quotes, "YYYY-MM-DD", got "2026-1-1"'),
    (("valid_days",), -1, "valid_days: expected at least 0, got -1"),
    (("valid_days",), 36501, "valid_days: expected at most 36500, got 36501"),
    (("platforms",), [], 'platforms: expected at least one platform, such as "linux/amd64", got none'),
    (("platforms",), "linux/amd64", 'platforms: expected a list, got "linux/amd64"'),
    (("platforms",), ["linux/amd64", 1], 'platforms[1]: expected text, got "1"'),
    (("platforms",), ["linux/amd64", "linux/riscv64"], f'platforms[1]: {PLATFORM} "linux/riscv64"'),
    (("platforms",), ["linux/amd64"] * 2, "platforms: a platform stands twice"),
    (("python",), ..., "python: expected a mapping, the field is missing"),
    (("python",), [], "python: expected a mapping, got a list"),
    (("python", "version"), 3.11, 'python.version: expected text, got "3.11"'),
    (("python", "version"), "3.11.2", 'python.version: expected a minor version in quotes, "3.11", got "3.11.2"'),
    (("python", "debian"), "../x", 'python.debian: expected the suite of a Debian release, got "../x"'),
    (("python", "packages"), [], "python.packages: expected at least one package, got none"),
    (
        ("python", "packages"),
        ["dash", "-oAPT::Update::Pre-Invoke::=id"],
        'python.packages[1]: expected the name of a Debian package, got "-oAPT::Update::Pre-Invoke::=id"',
    ),
    (("wheels",), ["a", {"b": 1}], "wheels[1]: expected text, got a mapping"),
    (("files",), {}, "files: expected a list, got a mapping"),
    (("files", 0), "x", 'files[0]: expected a mapping, got "x"'),
    (("files", 0, "to"), ..., "files[0].to: expected text, the field is missing"),
    *(
        (("files", 0, "to"), path, f'files[0].to: expected a relative path, got "{shown}"')
        for path, shown in [
            ("../x", "../x"),
            ("a/../../x", "a/../../x"),
            ("a/..", "a/.."),
            ("/x", "/x"),
            ("", ""),
            (".", "."),
            ("a\\b", "a\\b"),
            ("a\nb", "a\\nb"),
        ]
    ),
    (("files", 0, "path"), "../x", 'files[0].path: expected a relative path, got "../x"'),
    (("images", 0, "compose"), "Host/a:1", 'images[0].compose: expected a reference HOST/NAME:TAG, got "Host/a:1"'),
    (("images", 0, "compose"), "a:1", 'images[0].compose: expected a reference HOST/NAME:TAG, got "a:1"'),
    (("images", 0, "compose"), "h/a", 'images[0].compose: expected a reference HOST/NAME:TAG, got "h/a"'),
    (("images", 0, "service"), "no", 'images[0].service: expected the name of a service, got "no"'),
    ((*SERVICE, "name"), "A", 'services[0].name: expected a name of lower-case letters, digits, hyphens, got "A"'),
    ((*AGENT, "name"), "model", 'services[1].name: the name "model" stands twice'),
    ((*SERVICE, "run"), [], "services[0].run: expected an argument vector, got an empty list"),
    ((*SERVICE, "run"), "python -m x", 'services[0].run: expected a list, got "python -m x"'),
    ((*SERVICE, "run"), ["a", "b\nUser=root"], 'services[0].run[1]: expected one line of text, got "b\\nUser=root"'),
    ((*SERVICE, "directory"), "/srv", 'services[0].directory: expected a relative path, got "/srv"'),
    ((*SERVICE, "port"), 0, "services[0].port: expected at least 1, got 0"),
    ((*SERVICE, "port"), 65536, "services[0].port: expected at most 65535, got 65536"),
    ((*SERVICE, "port"), 65535, 'services[1].port: the port 65535 is that of "model"'),
    ((*SERVICE, "ready"), "r", 'services[0].ready: expected a path that starts with /, got "r"'),
    ((*SERVICE, "environment"), {"PORT": 1}, 'services[0].environment.PORT: expected text, got "1"'),
    ((*SERVICE, "environment"), {1: "x"}, 'services[0].environment.1: expected text, got "x"'),
    ((*SERVICE, "environment"), {"A=B": "x"}, 'services[0].environment: expected the name of a variable, got "A=B"'),
    ((*SERVICE, "environment"), {"A": "x\ny"}, 'services[0].environment.A: expected one line of text, got "x\\ny"'),
    ((*SERVICE, "settings"), ["url"], 'services[0].settings[0]: expected an upper-case environment name, got "url"'),
    ((*SERVICE, "after"), ["agent"], 'services[0].after: expected a service declared above, got "agent"'),
    ((*AGENT, "after"), ["nobody"], 'services[1].after: expected a service declared above, got "nobody"'),
    ((*AGENT, "after"), ["agent"], 'services[1].after: expected a service declared above, got "agent"'),
    (
        (*SERVICE, "unless"),
        "agent.MODEL_URI",
        'services[0].unless: expected SERVICE.NAME, a setting of a service, got "agent.MODEL_URI"',
    ),
    ((*SERVICE, "state"), 1, 'services[0].state: expected true or false, got "1"'),
    ((*SERVICE, "state"), "yes", 'services[0].state: expected true or false, got "yes"'),
    ((*SERVICE, "start_timeout_s"), 0, "services[0].start_timeout_s: expected at least 1, got 0"),
    ((*AGENT, "probe", "method"), "PUT", 'services[1].probe.method: expected "GET" or "POST", got "PUT"'),
    ((*AGENT, "probe", "path"), "p", 'services[1].probe.path: expected a path that starts with /, got "p"'),
    ((*AGENT, "probe", "expect"), ..., "services[1].probe.expect: expected text, the field is missing"),
]


@pytest.mark.parametrize(("place", "value", "says"), RECIPE_REFUSALS)
def test_a_wrong_field_is_named(place: tuple[str | int, ...], value: object, says: str, tmp_path: Path) -> None:
    path = write(tmp_path / "recipe.yaml", changed(recipe_document(), place, value))
    assert str(refusal(path)) == says


def test_a_switch_names_a_setting_of_any_service(tmp_path: Path) -> None:
    document = changed(recipe_document(), ("services", 0, "unless"), "agent.MODEL_URL")
    assert read_recipe(write(tmp_path / "recipe.yaml", document)).services[0].unless == "agent.MODEL_URL"


def test_a_reference_stands_once(tmp_path: Path) -> None:
    document = recipe_document()
    document["images"] *= 2
    says = 'images[1].compose: the reference "ferry.local:5000/a/b:1.0" stands twice'
    assert str(refusal(write(tmp_path / "recipe.yaml", json.dumps(document).encode()))) == says


@pytest.mark.parametrize(
    ("place", "value", "hint"),
    [
        (("wheel",), [], "check its spelling"),
        (("files", 0, "to"), "/x", PATH_HINT),
        ((*SERVICE, "environment"), {"PORT": 1}, 'put a number in quotes: "8080"'),
        ((*SERVICE, "after"), ["agent"], "declare services in the order in which they start"),
        ((*SERVICE, "unless"), "x.Y", "list the name under the settings of that service"),
    ],
)
def test_a_refusal_says_what_to_do(place: tuple[str, ...], value: object, hint: str, tmp_path: Path) -> None:
    path = write(tmp_path / "recipe.yaml", changed(recipe_document(), place, value))
    assert refusal(path).hint == hint


NO_ANCHORS = "expected YAML: anchors, aliases and tags have no place here"
BOMB = b"a: &a [x, x]\n" + b"".join(b"%c: &%c [%s]\n" % (n, n, b"*%c, " % (n - 1) * 9) for n in b"bcdefghijklmnop")


@pytest.mark.parametrize(
    ("raw", "line", "says"),
    [
        (b"name: a\nname: b\n", ":2", 'expected YAML: the field "name" stands twice'),
        (b"python:\n  a: 1\n  a: 1\n", ":3", 'expected YAML: the field "a" stands twice'),
        (b"name: [a\n", ":2", "expected YAML: expected ',' or ']', but got '<stream end>'"),
        (b"a: b: c\n", ":1", "expected YAML: mapping values are not allowed here"),
        (b"\t- x\n", ":1", "expected YAML: found character '\\t' that cannot start any token"),
        (b"a: 1\n---\nb: 1\n", ":2", "expected YAML: but found another document"),
        (b"? [a, b]\n: 1\n", ":1", "expected YAML: expected the name of a field"),
        (b"? {a: b}\n: 1\n", ":1", "expected YAML: expected the name of a field"),
        (b"name: \xff\xfe\n", "", "expected YAML: unacceptable character #x00ff: invalid start byte"),
        (b"name: \x00\n", "", "expected YAML: unacceptable character #x0000: special characters are not allowed"),
        (b"as_of: 2026-99-99\n", "", "expected YAML: month must be in 1..12"),
        (BOMB, ":1", NO_ANCHORS),
        (b"a: &a {b: *a}\n", ":1", NO_ANCHORS),
        (b"x: *nobody\n", ":1", NO_ANCHORS),
        (b"x: !!python/object/apply:os.system [id]\n", ":1", NO_ANCHORS),
        (b"\nx: !!timestamp x\n", ":2", NO_ANCHORS),
        (b"x: !!bool x\n", ":1", NO_ANCHORS),
        (b"x: !!int ''\n", ":1", NO_ANCHORS),
        (b"? !!set {a}\n: 1\n", ":1", NO_ANCHORS),
        (
            b"<<: {a: 1}\n",
            ":1",
            "expected YAML: could not determine a constructor for the tag 'tag:yaml.org,2002:merge'",
        ),
    ],
)
def test_what_is_no_plain_yaml_is_refused(raw: bytes, line: str, says: str, tmp_path: Path) -> None:
    path = write(tmp_path / "recipe.yaml", raw)
    assert str(refusal(path)) == f"{path}{line}: {says}"


def test_yaml_that_is_too_deep_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "recipe.yaml", b"[" * 5000)
    assert str(refusal(path)).startswith(f"{path}: expected YAML: maximum recursion depth exceeded")


@pytest.mark.parametrize(
    ("raw", "got"), [(b"", "nothing"), (b"- a\n", "a list"), (b"text", '"text"'), (b"0x" + b"f" * 9999, None)]
)
def test_a_document_that_is_no_mapping_is_refused(raw: bytes, got: str | None, tmp_path: Path) -> None:
    path = write(tmp_path / "recipe.yaml", raw)
    assert (
        str(refusal(path))
        == f"document: expected a mapping, got {got or chr(34) + 'a number of more than 64 bits' + chr(34)}"
    )


def test_an_unquoted_date_is_refused(tmp_path: Path) -> None:
    path = write(
        tmp_path / "recipe.yaml", yaml.safe_dump(recipe_document()).replace("'2026-01-31'", "2026-01-31").encode()
    )
    assert str(refusal(path)) == 'as_of: expected text, got "2026-01-31"'


def test_half_of_a_surrogate_pair_is_refused(tmp_path: Path) -> None:
    raw = yaml.safe_dump(recipe_document()) + 'description: "\\ud800"\n'
    says = 'description: expected text without NUL and lone surrogates, got "\\ud800"'
    assert str(refusal(write(tmp_path / "recipe.yaml", raw.encode()))) == says


def test_files_that_are_not_there(tmp_path: Path) -> None:
    assert str(refusal(tmp_path)) == f"{tmp_path}/recipe.yaml: expected a recipe: No such file or directory"
    missing = refusal(tmp_path, read_lock)
    assert str(missing) == f"{tmp_path}/recipe.lock.yaml: expected a lock: No such file or directory"
    assert missing.hint == f"make it with: ferry lock {tmp_path}"


def test_a_lock_stands_beside_its_recipe(tmp_path: Path) -> None:
    expected = tmp_path / "recipe.lock.yaml"
    assert [lock_path(tmp_path), lock_path(tmp_path / "recipe.yaml"), lock_path(expected)] == [expected] * 3


FILE = ("wheels", 0, "files", 0)
DEB = ("python", "debs", 0)
LOCK_REFUSALS: list[tuple[tuple[str | int, ...], object, str]] = [
    (("extra",), 1, "extra: unknown field"),
    (("python", "extra"), 1, "python.extra: unknown field"),
    ((*FILE, "url"), "https://x", "wheels[0].files[0].url: unknown field"),
    (("format",), "x", 'format: expected "ferry/lock/v1", got "x"'),
    (("recipe_sha256",), "b" * 63, "recipe_sha256: expected 64 lower-case hex digits for sha256, got 63 characters"),
    (
        ("recipe_sha256",),
        "B" * 64,
        f'recipe_sha256: expected 64 lower-case hex digits for sha256, got "{"B" * 64}"',
    ),
    (("as_of",), "x", 'as_of: expected a date like 2026-01-31, got "x"'),
    (("created",), "2026-02-01", 'created: expected a time like 2026-01-31T00:00:00Z, got "2026-02-01"'),
    (
        ("created",),
        "2026-99-01T00:00:00Z",
        'created: expected a time like 2026-01-31T00:00:00Z, got "2026-99-01T00:00:00Z"',
    ),
    (
        ("python", "version"),
        "3.11/../../x",
        'python.version: expected a minor version in quotes, "3.11", got "3.11/../../x"',
    ),
    ((*DEB, "name"), "-x", 'python.debs[0].name: expected the name of a Debian package, got "-x"'),
    ((*DEB, "path"), "../../etc", 'python.debs[0].path: expected a relative path, got "../../etc"'),
    ((*DEB, "size"), 0, "python.debs[0].size: expected at least 1, got 0"),
    ((*DEB, "platform"), "x", f'python.debs[0].platform: {PLATFORM} "x"'),
    (
        ("wheels", 0, "name"),
        "one\n--index-url=http://x",
        'wheels[0].name: expected the name of a distribution, got "one\\n--index-url=http://x"',
    ),
    (
        ("wheels", 0, "version"),
        "1 @ http://x",
        'wheels[0].version: expected the version of a distribution, got "1 @ http://x"',
    ),
    (
        (*FILE, "name"),
        "../one-1.0.whl",
        'wheels[0].files[0].name: expected the file name of a wheel or sdist, got "../one-1.0.whl"',
    ),
    (
        (*FILE, "sha256"),
        "a",
        "wheels[0].files[0].sha256: expected 64 lower-case hex digits for sha256, got 1 characters",
    ),
    ((*FILE, "platforms"), ["x"], f'wheels[0].files[0].platforms[0]: {PLATFORM} "x"'),
    (("files", 0, "to"), "../x", 'files[0].to: expected a relative path, got "../x"'),
    (("files", 0, "executable"), "no", 'files[0].executable: expected true or false, got "no"'),
]


@pytest.mark.parametrize(("place", "value", "says"), LOCK_REFUSALS)
def test_a_wrong_field_of_a_lock_is_named(
    place: tuple[str | int, ...], value: object, says: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "recipe.lock.yaml", changed(lock_document(), place, value))
    assert str(refusal(path, read_lock)) == says


def test_a_lock_comes_back_as_it_was_written(tmp_path: Path) -> None:
    lock = read_lock(write(tmp_path / "recipe.lock.yaml", lock_document()))
    text = format_lock(lock)
    again = read_lock(write(tmp_path / "recipe.lock.yaml", text.encode()))
    assert replace(again, sha256="", sm3="") == replace(lock, sha256="", sm3="")
    assert format_lock(again) == text


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_lock_is_of_its_recipe_and_names_no_host(name: str) -> None:
    recipe, lock = read_recipe(RECIPES / name), read_lock(RECIPES / name)
    text = lock_path(RECIPES / name).read_text()
    assert lock.recipe_sha256 == recipe.sha256
    assert (lock.name, lock.version, lock.platforms) == (recipe.name, recipe.version, recipe.platforms)
    assert "://" not in text
    assert format_lock(lock) == text
