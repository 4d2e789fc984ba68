"""A node's dealings with a backend and the chain: leases, heartbeats, journal, commitments, earnings.

Knows the protocol and the engine's port, not how an answer is computed. Trusts no response: checks leases against the
deployment's settler, orders against their signers, bytes against their hashes.
"""
