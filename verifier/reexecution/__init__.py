"""Runs a job again, blind: order, input and parameters in, an answer out. Never sees the node's trace.

The node's output goes in as a claim that may save work; what comes out does not depend on it.
"""

from verifier.reexecution.engines import Engines, LocalEngines, answer
from verifier.reexecution.worker import Finished, Worker

__all__ = ["Engines", "Finished", "LocalEngines", "Worker", "answer"]
