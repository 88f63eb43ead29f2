import json
from collections.abc import Callable
from pathlib import Path

import pytest
from weights import model, safetensors

from bundler.errors import RecipeError
from bundler.model.files import FileSource, LockedPath
from bundler.resolve.file import resolve_files

FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"
PLACE = "files[0].weights"
PURL = "pkg:huggingface/sample/small@0123abc"


def resolved(directory: Path, **changes: object) -> tuple[LockedPath, ...]:
    source = FileSource(path=str(directory), to="srv/models/m", weights=True, **changes)  # type: ignore[arg-type]
    return resolve_files((source,), Path("/nonexistent"))


def refusal(directory: Path) -> RecipeError:
    with pytest.raises(RecipeError) as refused:
        resolved(directory)
    return refused.value


def test_a_whole_model_is_listed_without_what_its_download_left(tmp_path: Path) -> None:
    found = resolved(model(tmp_path / "m"), purl=PURL)
    names = ["config.json", FIRST, SECOND, INDEX, "tokenizer.json"]
    assert [file.to for file in found] == [f"srv/models/m/{name}" for name in names]
    assert [file.path for file in found] == [str(tmp_path / "m" / name) for name in names]
    assert [file.name for file in found] == [file.to for file in found]
    assert {(file.image, file.purl) for file in found} == {(False, PURL)}


def test_weights_go_into_images_when_the_recipe_says_so(tmp_path: Path) -> None:
    assert all(file.image for file in resolved(model(tmp_path), image=True))


def test_a_single_file_needs_no_index(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert str(refusal(tmp_path)) == f'{PLACE}: expected weights or their index, "{tmp_path.name}" holds neither'
    (tmp_path / "model.safetensors").write_bytes(safetensors({"a": 1}))
    assert len(resolved(tmp_path)) == 2


def test_a_cache_of_links_to_blobs_is_read_through_them(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--sample/snapshots/0123abc"
    blobs = model(tmp_path / "models--sample/blobs")
    snapshot.mkdir(parents=True)
    for name in ("config.json", FIRST, SECOND, INDEX):
        (snapshot / name).symlink_to(f"../../blobs/{name}")
    assert [file.sha256 for file in resolved(snapshot)] == [file.sha256 for file in resolved(blobs)[:4]]
    (snapshot / "config.json").unlink()
    (tmp_path / "secret").write_text("{}")
    (snapshot / "config.json").symlink_to(tmp_path / "secret")
    assert str(refusal(snapshot)) == f'{PLACE}: expected regular files, "config.json" is a link or special file'


def cut(name: str) -> Callable[[Path], object]:
    return lambda at: (at / name).write_bytes((at / name).read_bytes()[:-3])


def written(name: str, data: bytes | str) -> Callable[[Path], object]:
    return lambda at: (at / name).write_bytes(data if isinstance(data, bytes) else data.encode())


def removed(*names: str) -> Callable[[Path], object]:
    return lambda at: [(at / name).unlink() for name in names]


def index(**shards: str) -> Callable[[Path], object]:
    return written(INDEX, json.dumps({"weight_map": shards}))


WHOLE = len(safetensors({"c": 7}))
HEADER = f"{SECOND}: expected a header of at most 100000000 bytes that is all there"
TENSOR = f'{SECOND}: expected a tensor whose type, shape and offsets fit, "c" is none'
TWICE = b'{"a":{},"a":{}}'


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (removed("config.json"), 'expected "config.json": No such file or directory'),
        (written("config.json", "{"), 'expected JSON in "config.json"'),
        (written("config.json", "[]"), 'expected a mapping in "config.json"'),
        (removed(SECOND), f'expected 2 shards as {INDEX} says, "{SECOND}" is missing'),
        (removed(FIRST, SECOND), f'expected 2 shards as {INDEX} says, "{FIRST}", "{SECOND}" are missing'),
        (index(), f"expected 0 shards as {INDEX} says, it names none"),
        (index(d=SECOND), f'expected the tensor "d" in {SECOND}'),
        (cut(SECOND), f"{SECOND}: expected {WHOLE} bytes as its header says, got {WHOLE - 3}"),
        (
            written(SECOND, safetensors({"c": 7}) + b"x"),
            f"{SECOND}: expected {WHOLE} bytes as its header says, got {WHOLE + 1}",
        ),
        (written(SECOND, b""), HEADER),
        (written(SECOND, b"\xff" * 64), HEADER),
        (written(SECOND, safetensors({"c": 7})[:20]), HEADER),
        (written(SECOND, bytes([2, *bytes(7)]) + b"[]"), f"{SECOND}: expected a header in JSON, each name once"),
        (
            written(SECOND, bytes([len(TWICE), *bytes(7)]) + TWICE),
            f"{SECOND}: expected a header in JSON, each name once",
        ),
        (written(SECOND, safetensors({"c": 7}, data_offsets=[0, 24])), TENSOR),
        (written(SECOND, safetensors({"c": 7}, dtype="F33")), TENSOR),
        (written(SECOND, safetensors({"c": 7}, shape=[True])), TENSOR),
        (written(SECOND, safetensors({"c": 7}, shape=[-7])), TENSOR),
        (written(SECOND, safetensors({"c": 7}, more=1)), TENSOR),
        (
            written(SECOND, safetensors({"c": 7, "d": 7}, data_offsets=[28, 56])),
            f'{SECOND}: expected the tensor "c" at offset 0, got 28',
        ),
    ],
)
def test_what_is_not_whole_is_refused(spoil: Callable[[Path], object], says: str, tmp_path: Path) -> None:
    spoil(model(tmp_path / "m"))
    refused = refusal(tmp_path / "m")
    assert str(refused) == f"{PLACE}: {says}"
    assert refused.hint == "download the model again, whole"


def test_a_file_further_down_is_checked_too(tmp_path: Path) -> None:
    for name in (".cache/x.safetensors", "vae/x.safetensors"):
        (model(tmp_path / "m") / name).parent.mkdir(exist_ok=True)
        (tmp_path / "m" / name).write_bytes(safetensors({"a": 2})[:-1])
        if name.startswith("."):
            assert len(resolved(tmp_path / "m")) == 5
    assert str(refusal(tmp_path / "m")).startswith(f"{PLACE}: x.safetensors: expected ")


def test_a_shard_elsewhere_is_refused(tmp_path: Path) -> None:
    index(a="../x.safetensors")(model(tmp_path / "m"))
    assert str(refusal(tmp_path / "m")) == (
        f'{PLACE}: {INDEX}.weight_map: expected the name of a file, got "../x.safetensors"'
    )


def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    assert str(refusal(tmp_path / "no")) == f'{PLACE}: expected a directory, "{tmp_path / "no"}" is none'


PICKLES = (b"\x80\x02\x8a\nl\xfc", b"\x80\x04\x95", b"PK\x03\x04archive/data.pkl")
RUNS = "expected weights that are data alone, "


@pytest.mark.parametrize("data", PICKLES)
@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth", "x.pt", "down/x.ckpt", "training.PKL"])
def test_a_pickle_is_refused_unless_the_recipe_says_what_to_do(name: str, data: bytes, tmp_path: Path) -> None:
    at = model(tmp_path / "m")
    (at / name).parent.mkdir(exist_ok=True)
    (at / name).write_bytes(data)
    refused = refusal(at)
    assert str(refused) == f'{PLACE}: {RUNS}"{name}" is a pickle: it runs code when it is loaded'
    assert refused.hint == 'take weights in safetensors; or say "pickles: skip" or "pickles: carry" beside it'
    assert f"srv/models/m/{name}" in [file.to for file in resolved(at, pickles="carry")]
    assert f"srv/models/m/{name}" not in [file.to for file in resolved(at, pickles="skip")]


def test_what_skipping_leaves_must_be_whole(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model-1.bin").write_bytes(PICKLES[0])
    (tmp_path / "pytorch_model.bin.index.json").write_text('{"weight_map": {"a": "pytorch_model-1.bin"}}')
    assert len(resolved(tmp_path, pickles="carry")) == 3
    with pytest.raises(RecipeError) as refused:
        resolved(tmp_path, pickles="skip")
    assert str(refused.value) == f'{PLACE}: expected weights or their index, "{tmp_path.name}" holds neither'
    (tmp_path / "model.safetensors").write_bytes(safetensors({"a": 1}))
    assert [Path(file.to).name for file in resolved(tmp_path, pickles="skip")] == ["config.json", "model.safetensors"]


def test_data_with_the_suffix_of_a_pickle_is_data(tmp_path: Path) -> None:
    (model(tmp_path) / "tables.bin").write_bytes(b"\0\1\2\3")
    assert len(resolved(tmp_path)) == 6


def test_a_model_of_gguf_describes_itself(tmp_path: Path) -> None:
    (tmp_path / "model-q4.gguf").write_bytes(b"GGUF")
    assert [file.to for file in resolved(tmp_path)] == ["srv/models/m/model-q4.gguf"]


@pytest.mark.parametrize("name", ["model_index.json", "adapter_config.json", "params.json"])
def test_other_layouts_have_other_configurations(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("{}")
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet/part.safetensors").write_bytes(safetensors({"a": 1}))
    (tmp_path / "unet/part.safetensors.index.json").write_text('{"weight_map": {"a": "part.safetensors"}}')
    assert len(resolved(tmp_path)) == 3
    (tmp_path / "unet/part.safetensors.index.json").write_text('{"weight_map": {"a": "no.safetensors"}}')
    says = 'expected 1 shards as part.safetensors.index.json says, "no.safetensors" is missing'
    assert str(refusal(tmp_path)) == f"{PLACE}: {says}"


def test_a_model_that_writes_needs_its_tokenizer(tmp_path: Path) -> None:
    (model(tmp_path) / "config.json").write_text('{"architectures": ["SampleForCausalLM"]}')
    assert len(resolved(tmp_path)) == 5
    (tmp_path / "tokenizer.json").unlink()
    assert str(refusal(tmp_path)) == f'{PLACE}: expected a tokenizer, "{tmp_path.name}" holds none'
    (tmp_path / "sp.model").write_bytes(b"x")
    assert len(resolved(tmp_path)) == 5


def test_the_pointer_of_git_lfs_is_no_file(tmp_path: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64
    for name in ("tokenizer.json", FIRST):
        (model(tmp_path) / name).write_bytes(pointer)
        says = f"{name}: expected the file itself, got the pointer that git-lfs keeps for it"
        assert str(refusal(tmp_path)) == f"{PLACE}: {says}"


def test_a_repository_in_the_cache_says_its_own_revision(tmp_path: Path) -> None:
    revision = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "models--team--small-1.5B"
    blobs = model(cached / "blobs")
    (cached / "snapshots" / revision).mkdir(parents=True)
    for name in ("config.json", FIRST, SECOND, INDEX):
        (cached / "snapshots" / revision / name).symlink_to(f"../../blobs/{name}")
    whole = resolved(cached / "snapshots" / revision)
    assert {file.purl for file in whole} == {f"pkg:huggingface/team/small-1.5B@{revision}"}
    assert {file.purl for file in resolved(cached / "snapshots" / revision, purl=PURL)} == {PURL}
    (cached / "refs").mkdir()
    (cached / "refs/main").write_text(revision)
    assert resolved(cached) == whole
    (cached / "refs/main").write_text("../../../etc")
    assert str(refusal(cached)) == f'{PLACE}: expected "config.json": No such file or directory'
    assert len(resolved(blobs)) == 5
