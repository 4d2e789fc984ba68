"""Runs a job again, blind: order, input and parameters in, an answer out. Never sees the node's trace or output."""

from verifier.reexecution.engines import Engines, LocalEngines, answer
from verifier.reexecution.worker import Finished, Worker

__all__ = ["Engines", "Finished", "LocalEngines", "Worker", "answer"]
