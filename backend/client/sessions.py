"""Session keys: a program's own key, which can spend what its lane holds.

A session is two files in HOME/sessions: NAME.json, the encrypted key, and NAME.grant.json, the lane's signed grant.
Whoever has both can order in that lane and do nothing else: the wallet's key is in neither.
"""

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from backend.client.authorizations import SignedGrant
from backend.client.errors import BadInput, NoSession
from contracts.onchain.keystore import create_key
from contracts.protocol.errors import first_fault
from contracts.protocol.records import Address
from contracts.protocol.signing import Signer

_FOLDER, _GRANT = "sessions", ".grant.json"


@dataclass(frozen=True)
class Session:
    """A session's name and the grant of its lane."""

    name: str
    signed: SignedGrant

    @property
    def requester(self) -> Address:
        return self.signed.grant.requester


def key_file(home: Path, name: str) -> Path:
    """The path of a session's key. Raises BadInput for a name that is unsafe in a path."""
    if not name.replace("-", "").replace("_", "").isalnum():
        raise BadInput(f"{name!r} cannot name a session", way_out="use letters, digits, - and _")
    return home / _FOLDER / f"{name}.json"


def create_session_key(home: Path, name: str, password: str) -> Signer:
    """Creates a key under a new name. Raises KeystoreError, BadInput."""
    return create_key(key_file(home, name), password)


def keep_grant(home: Path, name: str, signed: SignedGrant) -> Path:
    """Writes the grant beside the key; returns its path."""
    path = key_file(home, name).with_suffix(_GRANT)
    path.write_text(signed.model_dump_json(indent=1) + "\n")
    return path


def read_grant(path: Path) -> SignedGrant:
    """The grant in a file. Raises BadInput."""
    try:
        return SignedGrant.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise BadInput(f"{path} is not a signed grant: {first_fault(error)}") from error


def sessions(home: Path) -> list[Session]:
    """All sessions of a folder, by name."""
    paths = sorted((home / _FOLDER).glob(f"*{_GRANT}"))
    return [Session(path.name.removesuffix(_GRANT), read_grant(path)) for path in paths]


def find_session(home: Path, name: str) -> Session:
    """A session by its name. Raises NoSession."""
    path = key_file(home, name).with_suffix(_GRANT)
    if not path.exists():
        raise NoSession(name=name, folder=home / _FOLDER, known=[one.name for one in sessions(home)])
    return Session(name, read_grant(path))
