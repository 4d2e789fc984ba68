"""Honest checks across settings: does anybody who did the work right lose anything?

The traces are those that the exactness bench made (`python -m bench.exact array`): each prompt's fingerprint in every
setting, over threads, batches, instruction sets, products and ways. A check draws a prompt, a node's setting and a
verifier's other setting, and holds one's trace against the other's as a verdict does.
"""

import json
from random import Random
from typing import Any

from bench.report import RESULTS
from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.records import Commitment, Opening
from contracts.protocol.typed_data import agrees, trace_commit

NODE = "0x" + "0d" * 20


def checks(count: int, seed: int) -> dict[str, Any]:
    """`count` honest checks, and how many of them would have opened a case."""
    rows = json.loads((RESULTS / "raw" / "exact-array.json").read_text())["conditions"]
    luck, false, pairs = Random(seed), 0, set()
    for _ in range(count):
        node, verifier = luck.sample(range(len(rows)), 2)
        prompt = luck.randrange(len(rows[node]["texts"]))
        pairs.add((node, verifier, prompt))
        theirs, mine = (bytes.fromhex(rows[which]["texts"][prompt]) for which in (node, verifier))
        order_id = luck.randbytes(32)
        commitment = Commitment(
            order_id=to_hex(order_id),
            node=NODE,
            output_root=to_hex(keccak(theirs)),
            trace_commit=to_hex(trace_commit(theirs, order_id, NODE)),
            units=16,
        )
        opening = Opening(trace_hash=to_hex(mine), output_root=to_hex(keccak(mine)), units=16)
        false += not agrees(opening, commitment)
    return {"checks": count, "seed": seed, "false_slashes": false, "different_pairs": len(pairs), "settings": len(rows)}
