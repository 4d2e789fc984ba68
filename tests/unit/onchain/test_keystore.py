"""Key files: what guards them when the disk is stolen."""

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = (
    "import sys, pathlib; from contracts.onchain.keystore import create_key; create_key(pathlib.Path(sys.argv[1]), 'p')"
)


def test_a_new_key_file_is_dear_to_guess(tmp_path: Path) -> None:
    """Protects every key from who copies its file: one guess at the password costs scrypt with n = 2^18. Covers: A51

    In a process of its own, for other tests make theirs cheap (tests/integration/conftest.py).
    """
    file = tmp_path / "key.json"
    subprocess.run([sys.executable, "-c", PROGRAM, str(file)], check=True)
    crypto = json.loads(file.read_text())["crypto"]
    assert (crypto["kdf"], crypto["kdfparams"]["n"], crypto["kdfparams"]["r"]) == ("scrypt", 2**18, 8)
    assert file.stat().st_mode & 0o077 == 0
