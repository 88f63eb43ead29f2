"""Batches: many inputs in one request, each with its own result or its own error.

A refusal of one item never touches another; the status of the whole follows the rules of the API.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keystore.engines.body import Body
from keystore.engines.request import Answer, RequestError
from keystore.engines.routes import Call
from keystore.engines.transit.key import Key

_FIELD = "batch_input"
_MANY = 8


def items(call: Call) -> tuple[Body, ...] | None:
    """Return the items of a batch, or None where the request is none.

    Raises: RequestError.
    """
    if not call.body.has(_FIELD):
        return None
    found = call.body.fields[_FIELD]
    if not isinstance(found, list):
        raise RequestError("failed to parse batch input: source data must be an array or slice")
    if not found:
        raise RequestError("missing batch input to process")
    for index, item in enumerate(found):
        if not isinstance(item, Mapping):
            raise RequestError(f"failed to parse batch input: [{index}] expected a map")
    return tuple(Body(fields=item) for item in found)


def expect_texts(found: Sequence[Body], name: str, missing: str) -> None:
    """Refuse the whole batch where an item lacks a field or has it as anything but a string.

    Raises: RequestError.
    """
    for index, item in enumerate(found):
        if not item.has(name):
            raise RequestError(f"failed to parse batch input: '[{index}].{name}' {missing}")
        if not isinstance(item.fields[name], str):
            raise RequestError(f"failed to parse batch input: '[{index}].{name}' expected type 'string'")


def expect_contexts(found: Sequence[Body]) -> None:
    """Refuse a batch in which only some items have a context.

    Raises: RequestError.
    """
    if len({bool(item.text("context")) for item in found}) > 1:
        raise RequestError("context should be set either in all the request blocks or in none")


def run(
    found: Sequence[Body], act: Callable[[Body], Mapping[str, object]], blank: Mapping[str, object]
) -> list[dict[str, Any]]:
    """Return one result per item; a refused one has `error` and the fields of `blank`."""
    return [_one(item, act, blank) for item in found]


def run_with(
    call: Call,
    key: Key,
    found: Sequence[Body],
    act: Callable[[Body], Mapping[str, object]],
    blank: Mapping[str, object],
) -> list[dict[str, Any]]:
    """Return the same; what a private key has to do many times is done where it keeps nobody waiting."""
    if key.kind.public is None or len(found) < _MANY:
        return run(found, act, blank)
    # The name is that of exactly this key: if it is changed meanwhile, the work is done again.
    state = hashlib.sha256(key.encode()).hexdigest()
    return call.request.beside(f"batch {state}", lambda: run(found, act, blank))


def answer(results: list[dict[str, Any]]) -> Answer:
    """Answer with the results, and status 200 whatever they are."""
    return Answer(data={"batch_results": results})


def answer_strictly(call: Call, results: list[dict[str, Any]]) -> Answer:
    """Answer with the results, and status 400 when an item failed.

    Where others did not, the request's `partial_failure_response_code` may say another status.
    Raises: RequestError.
    """
    failed = sum("error" in result for result in results)
    if not failed:
        return answer(results)
    status = call.body.number("partial_failure_response_code", 400) if failed < len(results) else 400
    if not 200 <= status <= 599:
        raise RequestError(f"invalid partial_failure_response_code {status}")
    return Answer(data={"batch_results": results}, status=status)


def _one(item: Body, act: Callable[[Body], Mapping[str, object]], blank: Mapping[str, object]) -> dict[str, Any]:
    reference = item.fields.get("reference")
    named = {"reference": reference if isinstance(reference, str) else ""}
    try:
        return {**act(item), **named}
    except RequestError as error:
        return {**blank, "error": error.message, **named}
