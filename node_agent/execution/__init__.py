"""Engines and workloads: turn (workload, input) into (output, trace).

This package knows nothing of the network, the chain, prices, stakes or who asks. Nodes run it to earn; verifiers run
the same code to check them.
"""
