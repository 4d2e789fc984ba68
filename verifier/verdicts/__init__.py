"""What a verifier says and where: the journal, the backend, the court."""
