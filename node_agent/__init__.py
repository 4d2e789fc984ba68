"""The operator's side: engines that compute, and the session that leases, signs and earns."""
