"""Sends verdicts to a backend over HTTP (contracts.protocol.wire)."""

import httpx

from contracts.protocol.wire import Acknowledgement, SubmitVerdict
from verifier.errors import BackendUnavailable, VerdictRefused

_TIMEOUT_S = 5.0


class Publisher:
    """One backend's address for verdicts. Sending the same verdict again is harmless."""

    def __init__(self, backend_url: str) -> None:
        self._url = f"{backend_url.rstrip('/')}/v1/verifier/verdicts"
        self._client = httpx.Client(timeout=_TIMEOUT_S)

    def send(self, submit: SubmitVerdict) -> Acknowledgement:
        """Raises VerdictRefused for a 4xx, BackendUnavailable when there is no answer or a 5xx."""
        try:
            answer = self._client.post(
                self._url, content=submit.model_dump_json(), headers={"content-type": "application/json"}
            )
        except httpx.HTTPError as error:
            raise BackendUnavailable(url=self._url, why=str(error) or type(error).__name__) from error
        if answer.status_code >= 500:
            raise BackendUnavailable(url=self._url, why=f"status {answer.status_code}")
        if answer.status_code >= 400:
            raise VerdictRefused(
                commitment_digest=submit.verdict.commitment_digest, status=answer.status_code, detail=answer.text[:500]
            )
        return Acknowledgement.model_validate_json(answer.text)
