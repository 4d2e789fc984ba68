"""The node agent over a fake engine that answers with what it was asked, a byte a token. For the pages' tests."""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from contracts.onchain.deployment import Deployment
from contracts.protocol.hashing import keccak
from contracts.protocol.packed import pack, unpack
from contracts.protocol.tokens import TextTokenizer
from node_agent.app import NodeSettings, run_node
from node_agent.execution.engine import Check, Engine, Execution
from tests.world.node_fakes import BYTE_TOKENIZER, BYTE_TOKENIZER_SHA256

YOU_SAID = TextTokenizer(BYTE_TOKENIZER, BYTE_TOKENIZER_SHA256).encode("You said: ")
STOP = 2

WORK_S = 0.8
"""Long enough for a page to see that somebody works."""


class Parrot(Engine):
    """Answers each text with `You said: `, the text and a stop, cut after as many tokens as were paid for."""

    name: str = "parrot"
    version: str = "fake"
    check: Check = "regenerate"

    def execute(self, input_bytes: bytes, params: Mapping[str, int]) -> Execution:
        """See Engine."""
        time.sleep(WORK_S)
        said = [[*YOU_SAID, *ids, STOP][: params["max_new_tokens"]] for ids in unpack(input_bytes)]
        output, units = pack(said), sum(map(len, said))
        return Execution(output=output, trace_hash=keccak(b"trace" + output), units=units)


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
