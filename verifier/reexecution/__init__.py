"""Runs a job again from its order, input and parameters, without the node's trace.

The node's output may save work; the answer does not depend on it.
"""

from verifier.reexecution.engines import Answered, Engines, LocalEngines, answer, look
from verifier.reexecution.worker import Finished, ReexecutionWorker

__all__ = ["Answered", "Engines", "Finished", "LocalEngines", "ReexecutionWorker", "answer", "look"]
