"""Raw data of a pair: per token, how far fingerprints are apart and by how much the verifier preferred another token.

One JSON file a pair in bench/results/raw, `native-NODE--VERIFIER.json`, integers only. The first `calibrating_texts`
are what thresholds come from; all others are fresh. `differences`: base64, one byte
a projection, node minus verifier modulo 256; `margins`: [token, thousandths] where the margin is not 0.
"""

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.report import RESULTS
from contracts.protocol.native import Evidence, Pair, compare
from contracts.protocol.native.fingerprint import CIRCLE, PROJECTIONS

RAW = RESULTS / "raw"


@dataclass(frozen=True)
class PairData:
    """Attributes: `head`: who, where and how; `texts`: the evidence of each, in order; `sha256`: of the file."""

    head: dict[str, Any]
    texts: list[Evidence]
    sha256: str

    @property
    def calibrating(self) -> list[Evidence]:
        """The texts that thresholds come from."""
        return self.texts[: self.head["calibrating_texts"]]

    @property
    def fresh(self) -> list[Evidence]:
        """The texts that no threshold has seen."""
        return self.texts[self.head["calibrating_texts"] :]

    @property
    def pair(self) -> Pair:
        """What thresholds out of this data are for."""
        head = self.head
        return Pair(head["weights_sha256"], head["node_class"], head["verifier_class"], self.sha256)


def text_record(node: bytes, verifier: bytes, margins_milli: Sequence[int], ended: bool) -> dict[str, Any]:
    """One text as it stands in the file. Both fingerprints are of all its tokens."""
    apart = bytes((one - other) % CIRCLE for one, other in zip(node, verifier, strict=True))
    margins = [[token, margin] for token, margin in enumerate(margins_milli) if margin]
    return {"ended": ended, "differences": b64encode(apart).decode(), "margins": margins}


def write(name: str, head: dict[str, Any], texts: list[dict[str, Any]]) -> None:
    """One line a text, so that a changed text is a changed line."""
    lines = ",\n".join(json.dumps(text, separators=(",", ":")) for text in texts)
    body = json.dumps(head, indent=1)[:-2] + f',\n "texts": [\n{lines}\n]}}\n'
    RAW.mkdir(parents=True, exist_ok=True)
    (RAW / f"native-{name}.json").write_text(body)


def read(name: str) -> PairData:
    """The file of a pair, by `NODE--VERIFIER`."""
    content = (RAW / f"native-{name}.json").read_bytes()
    said = json.loads(content)
    texts = [_evidence(text) for text in said.pop("texts")]
    return PairData(said, texts, hashlib.sha256(content).hexdigest())


def _evidence(text: dict[str, Any]) -> Evidence:
    apart, margins = b64decode(text["differences"]), dict(text["margins"])
    tokens = len(apart) // PROJECTIONS
    return compare(apart, bytes(len(apart)), [margins.get(token, 0) for token in range(tokens)], ended=text["ended"])
