"""`assay models`: fetch and list the models this host can run, and write the manifests of workloads on them."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

app = typer.Typer(help="Fetch and list models, write manifests of workloads.", no_args_is_help=True)

StoreOption = Annotated[
    Path | None, typer.Option("--store", help="Folder of the store; default: $ASSAY_MODELS or ~/.assay/models.")
]


@app.command()
def pull(
    name: Annotated[str, typer.Argument(help="E.g. smollm2-135m-exact; `assay models list` shows all.")],
    store: StoreOption = None,
    unconfined: Annotated[
        bool, typer.Option("--unconfined", help="Where nothing can be confined: convert it in this process.")
    ] = False,
) -> None:
    """Fetch a model, check its pinned digests and store it, unless it is stored already."""
    from node_agent.models import ModelStore

    console = Console()
    with _progress(console, name) as on_step:
        files = ModelStore(store, confined=not unconfined).pull(name, on_step)
    size = sum(path.stat().st_size for path in (files.weights, files.tokenizer)) // 1_000_000
    console.print(f"{name} is ready in {files.weights.parent} ({size} MB)", soft_wrap=True)


@app.command()
def build(
    origin: Annotated[str, typer.Argument(help="A stored model, a GGUF file, or a model's folder as on Hugging Face.")],
    name: Annotated[str, typer.Option(help="What the store's index calls it.")],
    store: StoreOption = None,
) -> None:
    """Build a model file of the exact engine: integers only, the same bytes on every host.

    Its tokenizer and its chat template are kept beside it, for `assay models manifest`.
    """
    from node_agent.execution.sandbox import Executor
    from node_agent.models import ModelStore

    console, models = Console(), ModelStore(store)
    with _progress(console, name) as on_step:
        files = models.build_exact(origin, name, on_step)
    with closing(Executor(models.root)) as executor:
        root = executor.root_of(files.weights)
    console.print(f"{name} is {files.weights_sha256}, in {files.weights.parent}", soft_wrap=True)
    console.print(f"its workloads name the model root {root}", soft_wrap=True)
    console.print(f"write one with `assay models manifest generation {name} --check-price UNITS`", soft_wrap=True)


@app.command("list")
def list_models(store: StoreOption = None) -> None:
    """List the models in the store and those that can be pulled."""
    from node_agent.models import ModelStore

    models = ModelStore(store)
    stored, sources = models.names(), models.sources
    table = Table("name", "stored", Column("weights sha256", overflow="fold"))
    for name in sorted({*sources, *stored}):
        table.add_row(name, "yes" if name in stored else "no", stored.get(name) or sources[name].weights_sha256)
    Console().print(table)


@app.command()
def manifest(
    kind: Annotated[str, typer.Argument(help="Kind of work: the name of a file in node_agent/execution/kinds.")],
    model: Annotated[str, typer.Argument(help="One of the kind's models, or one that you built.")],
    check_price: Annotated[int, typer.Option(min=0, help="Units that one check of one job earns its verifier.")],
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("manifest.json"),
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N; the first GPU, else the CPU.")] = None,
    store: StoreOption = None,
    system: Annotated[
        str | None, typer.Option(help="System message of a chat; the model's own, if it has one, by default.")
    ] = None,
    date: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The day that a chat template which asks for one is given."),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE that a chat template reads, as enable_thinking=false. Repeatable."),
    ] = None,
    max_texts: Annotated[int | None, typer.Option(min=1, help="Texts of an order.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Tokens of a text, the template's included.")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(min=1, help="Tokens of an answer.")] = None,
) -> None:
    """Write the manifest of a workload: of a kind's own model, or of one that was built into the store.

    A model of the store is described by its files: root, tokenizer, the ids that its chat template puts around a text,
    and those that end an answer. A float engine's manifest fits only hosts like this one.
    """
    from node_agent.describing import describe
    from node_agent.execution import kinds
    from node_agent.execution.chat import ChatSettings, read_values
    from node_agent.models import ModelStore

    console, models, found = Console(), ModelStore(store), kinds.find(kind)
    stored = None
    settings = ChatSettings(system=system, day=date and date.date(), values=read_values(values or []))
    if model not in found.models or settings != ChatSettings():
        stored = describe(models, model, found, settings)
    sizes = kinds.sized(kind, max_texts=max_texts, max_tokens=max_tokens, max_new_tokens=max_new_tokens)
    written = kinds.write_manifest(kind, model, device, check_price_units=check_price, stored=stored, **sizes)
    out.write_bytes(written.canonical())
    about = f"{kind} by {model}, metered by {written.unit}"
    console.print(f"{out} is workload {written.workload_id()}: {about}", soft_wrap=True)
    template, stops = written.template, " or ".join(map(str, written.stops))
    ends = f"; an answer ends with the token {stops}" if stops else ""
    console.print(f"tokens around a text: {len(template.before)} and {len(template.after)}{ends}")
    tokenizer = models.root / written.weights_sha256 / "tokenizer.json"
    console.print(f"its tokenizer: {tokenizer}", soft_wrap=True)


@contextmanager
def _progress(console: Console, name: str) -> Iterator[Callable[[str], None]]:
    """Shows each step: by a spinner on a terminal, by a line elsewhere, so that a log shows progress."""
    if not console.is_terminal:
        yield lambda step: console.print(f"{name}: {step}", markup=False)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(f"{name}: looking for it", total=None)
        yield lambda step: progress.update(task, description=f"{name}: {step}")
