"""The deployed contracts through any JSON-RPC endpoint: deployment, typed access, events.

Depends on the agreement (contracts.protocol) and on no party.
"""
