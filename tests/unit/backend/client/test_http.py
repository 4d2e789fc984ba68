"""What the client makes of answers: refusals by code, nonsense by name, lost answers by asking again."""

import httpx
import pytest

from backend.client.errors import BackendUnavailable, Refused
from backend.client.http import BackendHttp
from contracts.protocol.wire import Problem

PROBLEM = Problem(type="urn:x", title="T", status=409, code="cap_too_low", detail="the detail")


def backend(*answers: httpx.Response | Exception) -> BackendHttp:
    queue = list(answers)

    def answer(_: httpx.Request) -> httpx.Response:
        found = queue.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    return BackendHttp("http://backend/", httpx.Client(transport=httpx.MockTransport(answer)))


def test_refusals_carry_code_and_detail() -> None:
    """Protects callers that decide by code, and people who read why."""
    with pytest.raises(Refused, match="the detail") as caught:
        backend(httpx.Response(409, content=PROBLEM.model_dump_json())).order("0x00")
    assert (caught.value.code, caught.value.status) == ("cap_too_low", 409)


def test_lost_answers_are_asked_for_again() -> None:
    """Protects requests whose answer was lost: each is idempotent. Covers: A43"""
    lost = httpx.ReadTimeout("lost")
    assert backend(lost, lost, httpx.Response(200, content=b"x")).blob("0x00") == b"x"
    with pytest.raises(BackendUnavailable, match="lost"):
        backend(lost, lost, lost).blob("0x00")


@pytest.mark.parametrize("answer", [httpx.Response(200, text="<html>"), httpx.Response(502, text="bad gateway")])
def test_nonsense_is_named(answer: httpx.Response) -> None:
    """Protects people who gave the URL of something else."""
    with pytest.raises(BackendUnavailable, match="http://backend/v1/network"):
        backend(answer).network()
