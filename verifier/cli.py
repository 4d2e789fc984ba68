"""`assay verifier`: make a verifier's key, run a verifier. Gathers the commands of this package.

Each command imports what it needs when it runs: beacon and auditor load no engine.
"""

import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from verifier.audit.cli import audit_app
from verifier.beacon.cli import beacon_app
from verifier.options import HomeOption, password

__all__ = ["audit_app", "beacon_app", "verifier_app"]

verifier_app = typer.Typer(help="Check sampled jobs and answer cases.", no_args_is_help=True)


_KEY, _JOURNAL = "verifier.key.json", "journal.sqlite"


@verifier_app.command()
def init(home: HomeOption) -> None:
    """Make the verifier's key and print its address. The governor admits it; it pays for gas itself."""
    from contracts.onchain.keystore import create_key

    typer.echo(create_key(home / _KEY, password()).address)


@verifier_app.command()
def run(
    home: HomeOption,
    rpc: Annotated[str, typer.Option(envvar="ASSAY_RPC", help="JSON-RPC endpoint.")],
    deployment: Annotated[Path, typer.Option(envvar="ASSAY_DEPLOYMENT", help="Path of deployment.json.")],
    backend: Annotated[str, typer.Option(envvar="ASSAY_BACKEND", help="URL that verdicts are sent to.")],
    model_dir: Annotated[Path, typer.Option(envvar="ASSAY_MODELS", help="Folder that `assay models pull` fills.")],
    log: Annotated[str | None, typer.Option(help="URL or folder of the log; {backend}/v1/log if not given.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N; the first GPU, else the CPU.")] = None,
) -> None:
    """Check the jobs drawn for this verifier and answer every case, until stopped."""
    from contracts.onchain.chain import Chain
    from contracts.onchain.deployment import Deployment
    from contracts.onchain.keystore import load_key
    from contracts.onchain.sender import Sender
    from contracts.record.log_source import open_source
    from verifier.app import Verifier
    from verifier.reexecution import LocalEngines
    from verifier.verdicts.journal import VerifierJournal
    from verifier.verdicts.publisher import Publisher

    signer = load_key(home / _KEY, password())
    chain = Chain.open(rpc, Deployment.load(deployment))
    verifier = Verifier(
        chain=chain,
        sender=Sender(chain.w3, signer),
        source=open_source(log or f"{backend.rstrip('/')}/v1/log"),
        publisher=Publisher(backend),
        journal=VerifierJournal(home / _JOURNAL),
        engines=LocalEngines(model_dir, device),
    )
    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda caught, _: stopping.append(caught))
    Console(stderr=True).print(f"Verifier {signer.address} runs; stop it with Ctrl-C.")
    verifier.run(lambda: bool(stopping))
