"""The node agent over a fake engine that answers with what it was asked: a word is a token. For the pages' tests."""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contracts.onchain.deployment import Deployment
from contracts.protocol.canonical import canonical_json
from contracts.protocol.hashing import keccak
from contracts.protocol.texts import decode_texts
from node_agent.app import NodeSettings, run_node
from node_agent.execution.engine import Check, Engine, Execution

WORK_S = 0.8
"""Long enough for a page to see that somebody works."""


class Parrot(Engine):
    """Answers each text with `You said: ` and the text, cut after as many words as were paid for."""

    name: str = "parrot"
    version: str = "fake"
    check: Check = "regenerate"

    def execute(self, input_bytes: bytes, params: Mapping[str, int]) -> Execution:
        """See Engine."""
        time.sleep(WORK_S)
        answers = [_answer(text, params["max_new_tokens"]) for text in decode_texts(input_bytes)]
        output, units = canonical_json(answers), sum(len(answer["token_ids"]) for answer in answers)
        return Execution(output=output, trace_hash=keccak(b"trace" + output), units=units)


def _answer(text: str, limit: int) -> dict[str, Any]:
    words = f"You said: {text}".split(" ")
    reason = "length" if len(words) > limit else "stop"
    return {"finish_reason": reason, "text": " ".join(words[:limit]), "token_ids": [0] * min(limit, len(words))}


def main(home: str, rpc_url: str, deployment: str, backend_url: str) -> None:
    """Serves what the backend offers until it is told to stop."""
    settings = NodeSettings(
        Path(home),
        rpc_url,
        Deployment.load(Path(deployment)),
        backend_url,
        (),
        os.environ["ASSAY_PASSWORD"],
        poll_s=0.3,
    )
    run_node(settings, lambda manifest: Parrot())


if __name__ == "__main__":
    main(*sys.argv[1:])
