"""Errors that keep a network from starting.

UpError
├── NotOurs            the folder holds other files than a network's
├── AlreadyRunning     another process runs the network of this folder
├── OtherRelease       the folder's contracts are those of another release
├── NoState            this kind of chain keeps no state
├── NoFaucet           this chain is no test network
├── NotAnswered        the network runs, but its node answers no job
└── PortTaken          another program listens at a URL of the network
"""

from pathlib import Path

from contracts.protocol.errors import AssayError


class UpError(AssayError):
    """Base. `code` is for machines; the message names the value and the way out."""


class NoFaucet(UpError):
    def __init__(self, chain_id: int) -> None:
        super().__init__(f"chain {chain_id} is no test network", way_out="get ether and tokens as usual on it")


class NotOurs(UpError):
    code = "not_a_network"

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder} holds other files than a network's", way_out="give an empty folder with --home")


class AlreadyRunning(UpError):
    def __init__(self, folder: Path, pid: str) -> None:
        super().__init__(
            f"process {pid} runs the network in {folder}",
            way_out=f"use it, stop it (Ctrl-C there, or `kill {pid}`), or give another folder with --home",
        )


class OtherRelease(UpError):
    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"the network in {folder} was founded with the contracts of another release, which this one cannot run",
            way_out="use that release, or start over with `assay up --reset`",
        )


class NoState(UpError):
    def __init__(self, kind: str) -> None:
        super().__init__(
            f"the chain {kind!r} keeps no state, so a stop would lose everything",
            way_out="use --chain anvil (`make up` installs it), or `assay demo --chain embedded` for a short run",
        )


class NotAnswered(UpError):
    def __init__(self, state: str, waited_s: float, failures: int, last_words: str, log: Path) -> None:
        ended = f", and ended {failures} times" if failures else ""
        super().__init__(
            f"the node has not answered one word in {waited_s:.0f} s{ended}; the order is {state}. The node's last "
            f"words: {last_words} (the rest is in {log}). Fix that, or free the machine's cores",
            way_out="`assay up` continues from here",
        )


class PortTaken(UpError):
    def __init__(self, program: str, url: str) -> None:
        super().__init__(
            f"another program listens at {url}, the URL of this network's {program}",
            way_out="end it, or start a network in another folder (--home), which takes free ports",
        )
