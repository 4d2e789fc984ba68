"""Runs jobs in a process of their own: no network, no other program, no file but the model's, no secret.

Whoever holds a key starts an `Executor` and calls the engines in it; input that takes over the executor finds nothing
to take. Jobs share that process: input that takes it over could spoil the answers of those beside and after it, and
reach nothing else; input that ends it fails alone. `confinement.py` says what the process gives up before it
reads anything of a job, `executor.py` is the process, `client.py` the side that holds the keys.
"""

from node_agent.execution.sandbox.client import Executor

__all__ = ["Executor"]
