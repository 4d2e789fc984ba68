"""Encrypted key files (Web3 Secret Storage, version 3): the only place where private keys are stored."""

import json
import os
import secrets
from pathlib import Path

from contracts.protocol.errors import AssayError
from contracts.protocol.signing import Signer

ITERATIONS: int | None = None
"""Key derivation of new files. None: eth-account's default (scrypt, n = 2^18), a second to open."""


class KeystoreError(AssayError):
    """A key file that is missing, damaged, or locked with another password."""

    code = "keystore"


def create_key(path: Path, password: str, *, iterations: int | None = None) -> Signer:
    """Makes a key and writes it encrypted, readable by the owner alone. Never overwrites a file."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    from eth_account import Account  # imported here: it takes most of a second

    private_key = secrets.token_bytes(32)
    encrypted = Account.encrypt(private_key, password, iterations=iterations or ITERATIONS)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise KeystoreError(f"{path} exists", way_out="a key is never overwritten, choose another file") from error
    with os.fdopen(descriptor, "w") as file:
        json.dump(encrypted, file)
        file.flush()
        os.fsync(file.fileno())
    return Signer(private_key)


def load_key(path: Path, password: str) -> Signer:
    """Opens a key file."""
    try:
        text = path.read_text()
    except FileNotFoundError as error:
        raise KeystoreError(f"no key file at {path}", way_out="make one first, e.g. with `assay keys new`") from error
    except (OSError, UnicodeDecodeError) as error:
        way_out = "give the path of a key file that you may read"
        raise KeystoreError(f"{path} cannot be read: {error}", way_out=way_out) from error
    _require_key_file(path, text)
    from eth_account import Account

    try:
        return Signer(bytes(Account.decrypt(text, password)))
    except ValueError as error:
        raise KeystoreError(
            f"{path} does not open with this password: {error}",
            way_out="set ASSAY_PASSWORD to the one it was made with",
        ) from error


def _require_key_file(path: Path, text: str) -> None:
    """Tells a damaged file from a wrong password. Messages show none of its content."""
    try:
        found = json.loads(text)
        version, crypto = found["version"], found["crypto"]
        whole = version == 3 and all(key in crypto for key in ("cipher", "cipherparams", "ciphertext", "kdf", "mac"))
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise KeystoreError(f"{path} is not a key file of version 3", way_out="restore a copy, or make another key")
