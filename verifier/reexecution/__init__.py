"""Runs a job again, blind: order, input and parameters in, an answer out. Never sees the node's trace.

The node's output goes in as a claim that may save work; what comes out does not depend on it.
"""

from verifier.reexecution.engines import Answered, Engines, LocalEngines, answer, look
from verifier.reexecution.worker import Finished, ReexecutionWorker

__all__ = ["Answered", "Engines", "Finished", "LocalEngines", "ReexecutionWorker", "answer", "look"]
