"""Directories of model weights as Hugging Face lays them out: whole, or refused with what is missing.

Source: the format of safetensors, https://github.com/huggingface/safetensors#format (an 8-byte length, a header in
JSON of at most 100 MB, tensors that cover the rest without a hole).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from math import prod
from pathlib import Path
from typing import Any

from packageurl import PackageURL

from bundler.errors import RecipeError
from bundler.model.document import Fields, describe

# What describes a model to its loader: of transformers, diffusers, peft, and of Mistral's own layout.
_CONFIGURATIONS = ("config.json", "model_index.json", "adapter_config.json", "params.json")
_SINGLE = (".safetensors", ".bin", ".gguf", ".pt", ".pth")
_LEFT_OUT = frozenset({".cache", ".git"})
# Names of the files that some tokenizer is made of, as transformers and its forerunners call them.
_TOKENIZERS = ("tokenizer*", "vocab*", "*.model", "*.tiktoken", "tekken*", "spiece*", "merges*")
_GENERATES = "ForCausalLM"
_PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib"})
# The protocols of pickle from 2 on, and the zip in which torch puts one.
_PICKLED = (*(bytes([0x80, protocol]) for protocol in range(2, 6)), b"PK\x03\x04")
_POINTER = b"version https://git-lfs.github.com/spec/"
_CACHED = re.compile("models--(?P<name>[^/]+)/snapshots/(?P<revision>[0-9a-f]{7,64})")
_MOST_HEADER_BYTES = 100_000_000
_MOST_INDEX_BYTES = 64 * 1024 * 1024
_BITS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}
_BITS |= dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8)
_BITS |= dict.fromkeys(("I16", "U16", "F16", "BF16"), 16)
_BITS |= dict.fromkeys(("I32", "U32", "F32"), 32)
_BITS |= dict.fromkeys(("I64", "U64", "F64", "C64"), 64)
_AGAIN = "download the model again, whole"


def check_weights(directory: Path, *, place: str, pickles: bool = True) -> None:
    """Check that a directory holds a whole model.

    Of files other than safetensors only that they are there, and no pointers to what was not downloaded, is checked.
    Without `pickles` these do not count: the model must be whole in other files.

    Raises:
        RecipeError: the configuration, the tokenizer, a shard, a tensor or the end of a file is missing.
    """
    files = sorted(path for path in _files(directory) if pickles or not (is_pickle(path) or is_pickle_index(path)))
    for path in files:
        _check_downloaded(path, place)
    configuration = _configuration(directory, files, place=place)
    tensors = {path: read_tensors(path, place=place) for path in files if path.suffix == ".safetensors"}
    indexes = [path for path in files if path.name.endswith(".index.json")]
    for index in indexes:
        _check_index(index, tensors, place=place)
    if not indexes and not any(path.suffix in _SINGLE for path in files):
        raise RecipeError(
            f'expected weights or their index, "{directory.name}" holds neither', place=place, hint=_AGAIN
        )
    _check_tokenizer(configuration, directory, files, place=place)


def _files(directory: Path) -> Iterator[Path]:
    """Yield the files of a model, without what its download left."""
    for path in directory.rglob("*"):
        if path.is_file() and not _LEFT_OUT & set(path.relative_to(directory).parts):
            yield path


def _check_downloaded(path: Path, place: str) -> None:
    if path.stat().st_size < 1024 and path.read_bytes().startswith(_POINTER):
        raise _bad(path, place, "expected the file itself, got the pointer that git-lfs keeps for it")


def _configuration(directory: Path, files: Sequence[Path], *, place: str) -> dict[str, Any]:
    """Return what describes the model; a file of GGUF describes itself."""
    for name in _CONFIGURATIONS:
        if (directory / name).exists():
            return _document(directory / name, place=place)
    if any(path.suffix == ".gguf" for path in files):
        return {}
    return _document(directory / _CONFIGURATIONS[0], place=place)


def _check_tokenizer(configuration: dict[str, Any], directory: Path, files: Sequence[Path], *, place: str) -> None:
    """Check that a model which writes text has a tokenizer: without one its server asks the network for it."""
    architectures = configuration.get("architectures")
    names = architectures if isinstance(architectures, list) else []
    if not any(str(name).endswith(_GENERATES) for name in names):
        return
    here = [path for path in files if path.parent == directory]
    if not any(fnmatchcase(path.name, pattern) for path in here for pattern in _TOKENIZERS):
        raise RecipeError(f'expected a tokenizer, "{directory.name}" holds none', place=place, hint=_AGAIN)


def is_pickle(path: Path) -> bool:
    """Say whether weights are a pickle, which runs what it holds as code when it is loaded."""
    if path.suffix.lower() not in _PICKLES:
        return False
    with path.open("rb") as stream:
        return stream.read(4).startswith(_PICKLED)


def is_pickle_index(path: Path) -> bool:
    """Say whether a file only tells in which pickles the tensors are."""
    return path.name.endswith(tuple(f"{suffix}.index.json" for suffix in sorted(_PICKLES)))


def find_snapshot(directory: Path) -> Path:
    """Return the snapshot of a repository in the cache of Hugging Face's tools; any other directory as it is."""
    try:
        revision = (directory / "refs/main").read_text().strip()
    except (OSError, UnicodeDecodeError):
        return directory
    snapshot = directory / "snapshots" / revision
    is_revision = re.fullmatch("[0-9a-f]{7,64}", revision)
    return snapshot if is_revision and directory.name.startswith("models--") and snapshot.is_dir() else directory


def snapshot_purl(directory: Path) -> str:
    """Return the purl of a snapshot in that cache, which its path says; empty for any other directory."""
    match = _CACHED.search("/".join(directory.parts[-3:]))
    if match is None:
        return ""
    owner, _, name = match["name"].rpartition("--")
    return PackageURL("huggingface", owner or None, name, match["revision"]).to_string()


def _check_index(index: Path, tensors: dict[Path, set[str]], *, place: str) -> None:
    fields = Fields(_document(index, place=place), place=f"{place}: {index.name}", error=RecipeError)
    shards = fields.pairs("weight_map")
    names = sorted({shard for _, shard in shards})
    for name in names:
        if "/" in name or name in ("", ".", ".."):
            raise fields.refuse("weight_map", f"expected the name of a file, got {describe(name)}")
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing or not names:
        what = ", ".join(f'"{name}"' for name in missing)
        says = f"{what} {'is' if len(missing) == 1 else 'are'} missing" if missing else "it names none"
        raise RecipeError(f"expected {len(names)} shards as {index.name} says, {says}", place=place, hint=_AGAIN)
    for tensor, name in shards:
        if tensor not in tensors.get(index.parent / name, {tensor}):
            raise RecipeError(f"expected the tensor {describe(tensor)} in {name}", place=place, hint=_AGAIN)


def _document(path: Path, *, place: str) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            document = json.loads(stream.read(_MOST_INDEX_BYTES))
    except OSError as error:
        raise RecipeError(f'expected "{path.name}": {error.strerror}', place=place, hint=_AGAIN) from error
    except (ValueError, RecursionError) as error:
        raise RecipeError(f'expected JSON in "{path.name}"', place=place, hint=_AGAIN) from error
    if not isinstance(document, dict):
        raise RecipeError(f'expected a mapping in "{path.name}"', place=place, hint=_AGAIN)
    return document


def read_tensors(path: Path, *, place: str) -> set[str]:
    """Return the names of the tensors of a safetensors file whose size is right to the byte.

    Raises:
        RecipeError: it is cut short, too long, or its header contradicts itself.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > _MOST_HEADER_BYTES or 8 + length > size:
            raise _bad(path, place, f"expected a header of at most {_MOST_HEADER_BYTES} bytes that is all there")
        raw = stream.read(length)
    try:
        header = json.loads(raw, object_pairs_hook=_once) if raw.startswith(b"{") else None
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise _bad(path, place, "expected a header in JSON, each name once")
    header.pop("__metadata__", None)
    end = 8 + length + _covered(header, path, place)
    if end != size:
        raise _bad(path, place, f"expected {end} bytes as its header says, got {size}")
    return set(header)


def _covered(header: dict[str, Any], path: Path, place: str) -> int:
    """Return how many bytes the tensors take, one behind the other."""
    spans = sorted((*_span(name, tensor, path, place), name) for name, tensor in header.items())
    at = 0
    for begin, end, name in spans:
        if begin != at:
            raise _bad(path, place, f"expected the tensor {describe(name)} at offset {at}, got {begin}")
        at = end
    return at


def _span(name: str, tensor: object, path: Path, place: str) -> tuple[int, int]:
    if isinstance(tensor, dict) and set(tensor) == {"dtype", "shape", "data_offsets"}:
        bits, shape, offsets = _BITS.get(str(tensor["dtype"])), tensor["shape"], tensor["data_offsets"]
        if bits and _is_counts(shape) and _is_counts(offsets) and len(offsets) == 2:
            begin, end = offsets
            if (end - begin) * 8 == prod(shape) * bits:
                return begin, end
    raise _bad(path, place, f"expected a tensor whose type, shape and offsets fit, {describe(name)} is none")


def _is_counts(value: object) -> bool:
    return isinstance(value, list) and all(type(one) is int and 0 <= one < 2**63 for one in value)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _bad(path: Path, place: str, message: str) -> RecipeError:
    return RecipeError(f"{path.name}: {message}", place=place, hint=_AGAIN)
