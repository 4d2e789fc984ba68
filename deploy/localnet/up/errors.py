"""What can keep a network from coming up.

UpError
├── NotOurs            the folder holds other things than a network
├── AlreadyRunning     another process runs the network of this folder
├── OtherRelease       the folder's contracts are those of another release
├── NoState            this kind of chain keeps no state
├── NoFaucet           nobody gives money away on this chain
├── NotAnswered        the network runs, and its node answers no job
└── PortTaken          something else listens where the network's programs listen
"""

from pathlib import Path

from contracts.protocol.errors import AssayError


class UpError(AssayError):
    """Base. `code` is for machines; the message names the value and the way out."""


class NoFaucet(UpError):
    def __init__(self, chain_id: int) -> None:
        super().__init__(
            f"chain {chain_id} is no network to play with", way_out="get its ether and tokens as there is usual"
        )


class NotOurs(UpError):
    code = "not_a_network"

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder} holds other things than a network", way_out="give an empty folder with --home")


class AlreadyRunning(UpError):
    def __init__(self, folder: Path, pid: str) -> None:
        super().__init__(
            f"process {pid} runs the network in {folder}",
            way_out=f"use it, stop it (Ctrl-C there, or `kill {pid}`), or give another folder with --home",
        )


class OtherRelease(UpError):
    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"the network in {folder} was founded with the contracts of another release, which this one cannot drive",
            way_out="go on with that release, or start over with `assay up --reset`",
        )


class NoState(UpError):
    def __init__(self, kind: str) -> None:
        super().__init__(
            f"the chain {kind!r} keeps no state, so nothing would be left after a stop",
            way_out="use --chain anvil (`make up` installs it), or `assay demo --chain embedded` for a short run",
        )


class NotAnswered(UpError):
    def __init__(self, state: str, waited_s: float, failures: int, last_words: str, log: Path) -> None:
        ended = f", and ended {failures} times" if failures else ""
        super().__init__(
            f"the node has not answered one word in {waited_s:.0f} s{ended}; the order is {state}. The node's last "
            f"words: {last_words} (all of them in {log}). Mend that, or free the machine's cores",
            way_out="`assay up` goes on from here",
        )


class PortTaken(UpError):
    def __init__(self, program: str, url: str) -> None:
        super().__init__(
            f"something else listens at {url}, where this network's {program} belongs",
            way_out="end it, or start a network in another folder (--home), which takes free ports",
        )
