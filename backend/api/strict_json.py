"""Parses bodies as unambiguous JSON: refuses duplicate keys and bytes that are not UTF-8."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

_LONGEST_NUMBER = 80
"""Digits. 2^256 has 78."""
_MOST_BRACKETS = 64
"""Opening brackets of a body; our records have at most five. Bounds the depth before the parser recurses."""


class StrictJsonRoute(APIRoute):
    """A route whose body is read by `strict_loads`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's documented hook for a custom request class."""
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return strict


class _StrictRequest(Request):
    async def json(self) -> Any:
        return strict_loads(await self.body())


def strict_loads(body: bytes) -> Any:
    """The JSON value. Raises JSONDecodeError, also for duplicate keys, very long numbers and very deep nesting."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        shown = body[max(error.start - 20, 0) : error.start + 20]
        raise json.JSONDecodeError(f"byte {body[error.start]:#04x} is not UTF-8", repr(shown), error.start) from error
    brackets = text.count("{") + text.count("[")
    if brackets > _MOST_BRACKETS:
        raise json.JSONDecodeError(
            f"it has {brackets} opening brackets, at most {_MOST_BRACKETS} are accepted", text, 0
        )
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_int=_number)
    except _Refused as error:
        raise json.JSONDecodeError(error.why, text, max(text.find(error.near), 0)) from error


class _Refused(Exception):
    def __init__(self, why: str, near: str) -> None:
        self.why, self.near = why, near


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _Refused(f"the key {key[:60]!r} occurs twice", json.dumps(key))
        found[key] = value
    return found


def _number(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise _Refused(f"a number has {len(digits)} digits", digits)
    return int(digits)
