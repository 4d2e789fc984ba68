"""What a node sees: memory and the first token of its confined process, jobs at once beside llama.cpp's server, long
texts, and beginnings that texts share."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from bench.exact import models, peer
from contracts.protocol.manifest import MAX_NEW_TOKENS
from contracts.protocol.packed import pack
from deploy.localnet import workload
from node_agent.execution.exact import kernels
from node_agent.execution.exact.llama.decoding import DecodingTask, generate
from node_agent.execution.exact.llama.kernels import KernelLlama
from node_agent.execution.exact.port import Reading
from node_agent.execution.sandbox import Executor
from node_agent.models import ModelStore

READ, WRITTEN, STARTS = 64, 256, 3
SLOTS = (1, 4, 8, 16)
LONG = 8192
LONG_STEPS = 16
FP32_BYTES = 4


def memory() -> dict[str, Any]:
    """The confined process with one slot: megabytes at most, and seconds until the first token of a first job."""
    store = ModelStore()
    manifest = workload.generation(store).manifest
    files = store.load(manifest.weights_sha256)
    params = {name: one.minimum if one.default is None else one.default for name, one in manifest.params.items()}
    prompt, rows = pack([models.english()[:READ]]), []
    for _ in range(STARTS + 1):  # the first measures the host's speed, which later ones know
        executor, start = Executor(store.root), time.perf_counter()
        engine = executor.load(files, manifest, "cpu")
        engine.execute(prompt, params | {MAX_NEW_TOKENS: 1})
        first_s = time.perf_counter() - start
        engine.execute(prompt, params | {MAX_NEW_TOKENS: WRITTEN})
        assert executor._process is not None
        rows.append({"first_token_s": first_s, "rss_mb": _peak_bytes(executor._process.pid) / 1e6})
        executor.close()
    c, model_mb = models.parameters().config, files.weights.stat().st_size / 1e6
    block = kernels.loaded("portable", 1).block_bytes(c.head_dim)
    return {
        "rows": rows, "model_mb": model_mb, "rss_mb": max(row["rss_mb"] for row in rows),
        "first_token_s": median(row["first_token_s"] for row in rows[1:]),
        "cache_of_fp32": block / (2 * kernels.PAGE * c.head_dim * FP32_BYTES),
        "cache_mb_at_8192": LONG // kernels.PAGE * block * c.num_hidden_layers * c.num_key_value_heads / 1e6,
    }  # fmt: skip


def _peak_bytes(pid: int) -> int:
    """The most memory that any one of a process and its descendants has had, as Linux counts it."""
    status = Path(f"/proc/{pid}/status").read_text()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    own = 1024 * int(status.partition("VmHWM:")[2].split()[0])
    return max([own, *(_peak_bytes(int(child)) for child in children)])


def slots(threads: int, rounds: int = 3) -> dict[str, Any]:
    """Tokens a CPU second at so many jobs at once: ours, and llama.cpp's server with as many slots, in turns."""
    text = models.english()
    prompts = [text[start : start + READ] for start in range(0, max(SLOTS) * READ, READ)]
    found = {}
    for count in SLOTS:
        rows = [
            {"exact": _ours(threads, prompts[:count]), "llama.cpp": _theirs(threads, prompts[:count])}
            for _ in range(rounds)
        ]
        found[str(count)] = {"rows": rows, "ratio": median(row["exact"] / row["llama.cpp"] for row in rows)}
    return {"threads": threads, "peer": peer.BUILD, "jobs": found}


def _ours(threads: int, prompts: Sequence[Sequence[int]]) -> float:
    start = time.process_time()
    generate(models.fastest(threads), [DecodingTask(prompt, WRITTEN, frozenset()) for prompt in prompts])
    return len(prompts) * WRITTEN / (time.process_time() - start)


def _theirs(threads: int, prompts: Sequence[Sequence[int]]) -> float:
    with _server(threads, len(prompts)) as (process, url), ThreadPoolExecutor(len(prompts)) as pool:
        before = _cpu_s(process.pid)
        counts = list(pool.map(lambda prompt: _completion(url, prompt), prompts))
        spent = _cpu_s(process.pid) - before
    return sum(counts) / spent


def _completion(url: str, prompt: Sequence[int]) -> int:
    body = {
        "prompt": list(prompt), "n_predict": WRITTEN, "ignore_eos": True, "temperature": 0, "cache_prompt": False,
        "samplers": ["top_k"], "top_k": 1,
    }  # fmt: skip
    answer = httpx.post(url + "/completion", json=body, timeout=600).raise_for_status().json()
    return int(answer["tokens_predicted"])


@contextmanager
def _server(threads: int, count: int) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [peer.tools() / "llama-server", "-m", peer.model(), "--port", str(port), "-t", str(threads)]
    command += ["-tb", str(threads), "--parallel", str(count), "-c", str(count * 512), "--no-webui"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                if httpx.get(url + "/health").status_code == httpx.codes.OK:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        yield process, url
    finally:
        process.terminate()
        process.wait()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def contexts(threads: int) -> dict[str, Any]:
    """Reading LONG positions, and writing after them, beside llama.cpp; and what a shared beginning saves."""
    model, tokens = models.fastest(threads), models.english()[: LONG - LONG_STEPS]
    cache, start = model.new_cache(LONG), time.perf_counter()
    for at in range(0, len(tokens), 128):
        model.read([Reading(tokens[at : at + 128], cache, 1)])
    read_s, start = time.perf_counter() - start, time.perf_counter()
    for token in tokens[:LONG_STEPS]:
        model.read([Reading([token], cache, 1)])
    mine = {"read": read_s, "write": time.perf_counter() - start}
    theirs = peer.measured(threads, 1, LONG - LONG_STEPS, LONG_STEPS)
    return {
        "threads": threads, "positions": LONG, "exact": mine, "llama.cpp Q8_0": theirs,
        "ratios": {part: theirs[part] / mine[part] for part in ("read", "write")}, "shared": _shared(threads),
    }  # fmt: skip


def _shared(threads: int) -> Mapping[str, float]:
    """Seconds for eight texts of 512 tokens, the first 480 the same: read apart, in one batch, and once more."""
    text, limit = models.english(), 1
    tasks = [DecodingTask([*text[:480], *text[500 + 32 * n : 532 + 32 * n]], limit, frozenset()) for n in range(8)]
    apart = models.fastest(threads)
    together = KernelLlama(models.parameters(), apart.kernels)
    return {
        "apart_s": _seconds(apart, tasks), "in_one_batch_s": _seconds(together, tasks),
        "later_s": _seconds(together, tasks),
    }  # fmt: skip


def _seconds(model: KernelLlama, tasks: Sequence[DecodingTask]) -> float:
    start = time.perf_counter()
    generate(model, tasks)
    return time.perf_counter() - start
