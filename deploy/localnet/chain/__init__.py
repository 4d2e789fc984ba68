"""A chain for a network on one machine: py-evm in this process, served over JSON-RPC."""
