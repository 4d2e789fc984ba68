"""The deployed contracts through any JSON-RPC endpoint: deployment, typed access, events and what follows from them.

Knows the agreement (contracts.protocol), nothing of the parties.
"""
