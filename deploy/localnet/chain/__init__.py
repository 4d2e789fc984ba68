"""A chain of its own for a network on one machine: py-evm in process, served over JSON-RPC."""
