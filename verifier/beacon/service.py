"""The beacon over HTTP: reveals the value of epoch n only once everything that it decides is fixed.

    GET /v1/beacon/{epoch_id}   -> {"epoch_id": n, "value": "0x.."}
                                   425 until epoch n-1 is posted and, if it has rows, the block of its seed is mined

The value of n is half of the seed of n-1 (SPEC section 9); the other half is that block's hash. Reads the chain, sends
nothing, and trusts no caller.
"""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from contracts.onchain.chain import Chain, as_dict
from contracts.onchain.errors import ChainError
from contracts.protocol.hashing import ZERO32, to_hex
from contracts.protocol.records import Bytes32, Record, Units64
from contracts.protocol.wire import Problem
from verifier.beacon.chain import BeaconChain
from verifier.errors import BeaconExhausted, BeaconTooEarly, VerifierError

_log = logging.getLogger(__name__)

_STATUS = {BeaconTooEarly.code: 425, BeaconExhausted.code: 404}


class BeaconValue(Record):
    """The arguments of `postEpoch(epoch_id)`."""

    epoch_id: Units64
    value: Bytes32


class BeaconProblem(Problem):
    """`wait_for_block`: the first block at which to ask again; null when an epoch must be posted first."""

    wait_for_block: int | None = None


def release(chain: Chain, values: BeaconChain, epoch_id: int) -> BeaconValue:
    """The value of an epoch, if it may be revealed. Raises BeaconTooEarly or BeaconExhausted."""
    value = values.value(epoch_id)
    last_epoch = int(chain.escrow.functions.lastEpoch().call())
    head = int(chain.w3.eth.block_number)
    if epoch_id > last_epoch + 1:
        raise BeaconTooEarly(epoch_id=epoch_id, last_epoch=last_epoch, wait_for_block=None, head_block=head)
    if epoch_id == last_epoch + 1 and last_epoch > 0:
        _require_seed_block(chain, epoch_id, last_epoch, head)
    return BeaconValue(epoch_id=epoch_id, value=to_hex(value))


def _require_seed_block(chain: Chain, epoch_id: int, last_epoch: int, head: int) -> None:
    previous = as_dict(chain.escrow.functions.epochs(last_epoch).call())
    behind = previous["postedBlock"] + chain.deployment.constants.seed_blocks + 1
    if bytes(previous["root"]) != ZERO32 and head < behind:
        raise BeaconTooEarly(epoch_id=epoch_id, last_epoch=last_epoch, wait_for_block=behind, head_block=head)


def create_app(chain: Chain, values: BeaconChain) -> FastAPI:
    app = FastAPI(title="Assay beacon")

    @app.get("/v1/beacon/{epoch_id}", responses={425: {"model": BeaconProblem}, 404: {"model": BeaconProblem}})
    def beacon(epoch_id: int) -> BeaconValue:
        shown = release(chain, values, epoch_id)
        _log.info("beacon value of epoch %d shown", epoch_id)
        return shown

    @app.exception_handler(VerifierError)
    def refused(_: Request, error: VerifierError) -> JSONResponse:
        wait = error.wait_for_block if isinstance(error, BeaconTooEarly) else None
        return _problem(_STATUS.get(error.code, 500), error.code, str(error), wait_for_block=wait)

    @app.exception_handler(RequestValidationError)
    @app.exception_handler(HTTPException)
    def bad_request(request: Request, error: Exception) -> JSONResponse:
        status = error.status_code if isinstance(error, HTTPException) else 422
        asked = f"{request.method} {(request.scope.get('raw_path') or b'').decode('ascii', 'replace')[:120]}"
        why = f"the beacon has no {asked}; ask GET /v1/beacon/N with the number N of an epoch, from 1"
        return _problem(status, "not_an_epoch", why)

    @app.exception_handler(ChainError)
    def no_chain(_: Request, error: ChainError) -> JSONResponse:
        return _problem(503, error.code, str(error))

    return app


def _problem(status: int, code: str, detail: str, **more: Any) -> JSONResponse:
    title = code.replace("_", " ")
    problem = BeaconProblem(type=f"urn:assay:{code}", title=title, status=status, code=code, detail=detail, **more)
    return JSONResponse(problem.model_dump(), status_code=status, media_type="application/problem+json")
