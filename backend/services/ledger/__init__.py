"""Reconciles the ledger with the contracts, and rebuilds it. backend/store/ledger.py posts to it."""
