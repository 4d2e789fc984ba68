"""Engines and workloads: turn (workload, input) into (output, trace).

Knows nothing of the network, the chain, prices, stakes or who asked. A node runs it to earn, a verifier runs the same
code to check, and neither needs the other's word.
"""
