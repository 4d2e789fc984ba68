"""The demo's workload: SmolLM2-135M-Instruct on the float engine, pinned to this machine's numeric class."""

from contracts.protocol.manifest import InputLimits, IntegerRange, Manifest
from contracts.protocol.sampling import Deterrence
from node_agent.devices import numeric_class
from node_agent.execution.float_engine import FloatEngine
from node_agent.models import ModelStore

MODEL = "smollm2-135m"
MAX_NEW_TOKENS = 32
FIXED_PRICE_UNITS = 2_000_000
UNIT_PRICE_UNITS = 1_000_000
CHECK_PRICE_UNITS = 3_000_000

DETERRENCE = Deterrence(
    honest_cost_ppm=800_000,
    cheat_cost_ppm=100_000,
    detection_ppm=1_000_000,
    collusion_ppm=300_000,
    false_alarm_ppm=0,
)
"""Work costs a node 0.8 of its reward, a cheat 0.1; a check always shows a wrong answer, and up to 30 % of the checks
are drawn to friends. With k = 1 that asks for p = 0.5, with k = 9 for p = 0.1."""


def manifest(store: ModelStore, device: str = "cpu") -> Manifest:
    """The manifest of the workload that this machine can serve."""
    files = store.load(MODEL)
    return Manifest(
        model="smollm2-135m-instruct",
        weights_sha256=files.weights_sha256,
        tokenizer_sha256=files.tokenizer_sha256,
        engine_version=FloatEngine.version,
        numeric_class=numeric_class.current(device).digest,
        params={"max_new_tokens": IntegerRange(minimum=1, maximum=MAX_NEW_TOKENS)},
        input=InputLimits(max_bytes=2048, max_tokens=512),
        check_price_units=CHECK_PRICE_UNITS,
        deterrence=DETERRENCE,
    )
