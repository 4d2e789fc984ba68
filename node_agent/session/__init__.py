"""A node's dealings with a backend and the chain: lease, heartbeat, journal, commitment, earnings.

Knows the agreement and an engine's port; knows nothing of how an answer is computed. Trusts no body that it receives:
the lease is checked against the settler of the deployment, the order against its signer, bytes against their hashes.
"""
