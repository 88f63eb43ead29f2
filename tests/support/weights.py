"""Small models in the layout of Hugging Face, whole and spoiled."""

from __future__ import annotations

import json
from pathlib import Path


def safetensors(tensors: dict[str, int], **changes: object) -> bytes:
    """Return a file of F32 vectors, given by name and length; `changes` go into the first tensor's entry."""
    header: dict[str, dict[str, object]] = {}
    at = 0
    for name, length in tensors.items():
        header[name] = {"dtype": "F32", "shape": [length], "data_offsets": [at, at + 4 * length]}
        at += 4 * length
    header[next(iter(tensors))] |= changes
    raw = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    return len(raw).to_bytes(8, "little") + raw + bytes(at)


def model(directory: Path) -> Path:
    """Write a whole model of two shards, with what a download leaves beside it."""
    directory.mkdir(parents=True, exist_ok=True)
    shards = {"model-00001-of-00002.safetensors": {"a": 5, "b": 3}, "model-00002-of-00002.safetensors": {"c": 7}}
    for name, tensors in shards.items():
        (directory / name).write_bytes(safetensors(tensors))
    weight_map = {tensor: name for name, tensors in shards.items() for tensor in tensors}
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    (directory / "config.json").write_text('{"model_type": "sample"}')
    (directory / "tokenizer.json").write_text("{}")
    for name in (".git/HEAD", ".cache/huggingface/x.metadata", "x.lock"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text("x")
    return directory
