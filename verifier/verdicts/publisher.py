"""Sends verdicts to a backend over HTTP (contracts.protocol.wire)."""

import httpx

from contracts.protocol.wire import Acknowledgement, SubmitVerdict
from verifier.errors import BackendSilent, VerdictRefused

_TIMEOUT_S = 5.0


class Publisher:
    """One backend's address for verdicts. Sending the same verdict again is harmless."""

    def __init__(self, backend_url: str) -> None:
        self._base = backend_url.rstrip("/")
        self._url = f"{self._base}/v1/verifier/verdicts"
        self._client = httpx.Client(timeout=_TIMEOUT_S)

    def send(self, submit: SubmitVerdict, observation: bytes = b"") -> Acknowledgement:
        """Sends a verdict, after its observation if it has one.

        Raises VerdictRefused for a 4xx, BackendSilent for no answer or a 5xx.
        """
        digest = submit.verdict.commitment_digest
        if submit.observation is not None:
            self._call("PUT", f"{self._base}/v1/blobs/{submit.observation}", observation, digest)
        answer = self._call("POST", self._url, submit.model_dump_json().encode(), digest)
        return Acknowledgement.model_validate_json(answer.text)

    def _call(self, method: str, url: str, body: bytes, digest: str) -> httpx.Response:
        kind = "application/json" if method == "POST" else "application/octet-stream"
        try:
            answer = self._client.request(method, url, content=body, headers={"content-type": kind})
        except httpx.HTTPError as error:
            raise BackendSilent(url=url, why=str(error) or type(error).__name__) from error
        if answer.status_code >= 500:
            raise BackendSilent(url=url, why=f"status {answer.status_code}")
        if answer.status_code >= 400:
            raise VerdictRefused(commitment_digest=digest, status=answer.status_code, detail=answer.text[:500])
        return answer
