"""Recomputes every payment from the chain and the published log, and names the first fault.

Needs no account and trusts no backend: reads the contracts' getters, events and calldata, and the log's lines.
"""
