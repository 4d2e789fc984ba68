"""What a node does with a backend and the chain: lease, heartbeat, journal, commitment, earnings.

Knows the protocol and the engine's port, not how an answer is computed. Trusts no response: leases are checked against
the deployment's settler, orders against their signers, bytes against their hashes.
"""
