"""The ledger held against the contracts, and rebuilt. It is posted in backend/store/ledger.py."""
