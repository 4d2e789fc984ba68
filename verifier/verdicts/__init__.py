"""A verifier's answers: in its journal, to the backend, before the court."""
