"""What the pages load of others is what was published, byte for byte."""

from pathlib import Path

import pytest

from backend.api.pages import WEB

PUBLISHED = Path(__file__).parent / "node_modules" / "@noble"
FOLDERS = {"noble-hashes": "hashes", "noble-secp256k1": "secp256k1"}
VENDORED = [
    (folder, name)
    for folder in FOLDERS
    for name in sorted(p.name for p in (Path(str(WEB)) / "shared/vendor" / folder).iterdir())
]


@pytest.mark.parametrize(("folder", "name"), VENDORED)
def test_vendored_file_is_the_published_one(folder: str, name: str) -> None:
    """Protects wallets from a changed library: npm checked the package's integrity hash, this the copy in the tree."""
    published = PUBLISHED / FOLDERS[folder] / name
    assert published.exists(), "run `npm ci` in tests/browser"
    assert (WEB / "shared" / "vendor" / folder / name).read_bytes() == published.read_bytes()


def test_licences_lie_beside_the_copies() -> None:
    """Protects the authors' terms: both licences ask for their text to be kept."""
    for folder in FOLDERS:
        assert "MIT License" in (WEB / "shared" / "vendor" / folder / "LICENSE").read_text()
