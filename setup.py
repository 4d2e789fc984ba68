"""Compiles the exact engine's kernels while Assay is installed; everything else is in pyproject.toml.

`ziglang`, a build requirement that is gone after the build, carries a C compiler for every platform, so a user's host
needs none (deploy/docs/adr/0008-kernels.md). Each instruction set becomes a library of its own beside `kernels.c`, and
WebAssembly a file beside the page that runs jobs again in a browser.
"""

import platform
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

PACKAGE = "node_agent.execution.exact.kernels"
SOURCE = Path("node_agent/execution/exact/kernels/kernels.c")

SETS = {
    "x86_64": {"portable": "x86_64", "avx2": "x86_64_v3", "avx512vnni": "x86_64_v4+avx512vnni"},
    "aarch64": {"portable": "generic"},
}
"""The CPUs, as the compiler names them, that each set is compiled for; `kernels.NEEDS` says who may load it."""

SYSTEMS = {"linux": ("linux-gnu", ".so"), "darwin": ("macos", ".dylib")}
FLAGS = ("-O3", "-std=c11", "-ffreestanding", "-fno-math-errno", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror")
SHARED = ("-shared", "-nostdlib", "-fPIC")

STANDALONE, PAGE = SOURCE.with_name("standalone.c"), Path("backend/web/rerun")
WASM = ("wasm32-freestanding", "generic+simd128+bulk_memory")
WASM_LINKED = ("-nostdlib", "-Wl,--no-entry,--export-dynamic,-z,stack-size=1048576")


def compile_c(target: str, cpu: str, source: Path, output: Path, *linked: str) -> None:
    """Compiles one file for a target and a CPU, as `zig cc` names them; `linked` says how it is linked."""
    output.parent.mkdir(parents=True, exist_ok=True)
    compiler = (sys.executable, "-m", "ziglang", "cc", "-target", target, f"-mcpu={cpu}")
    subprocess.run([*compiler, *FLAGS, *linked, str(source), "-o", str(output)], check=True)


def _libraries() -> dict[str, tuple[str, str]]:
    """Of this platform, by file name: the compiler's target and CPU. Raises SystemExit for an unknown platform."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    if sys.platform not in SYSTEMS or machine not in SETS:
        raise SystemExit(f"Assay runs on Linux and macOS, on x86-64 and ARM64; this is {sys.platform} on {machine}.")
    system, suffix = SYSTEMS[sys.platform]
    return {f"kernels-{name}{suffix}": (f"{machine}-{system}", cpu) for name, cpu in SETS[machine].items()}


class BuildKernels(build_ext):
    """Compiles the libraries instead of an extension module."""

    def run(self) -> None:
        """Each set for the CPUs that it is for, and the page's; for development, beside what they belong to."""
        for path, (target, cpu) in self._sets().items():
            compile_c(target, cpu, SOURCE, path, *SHARED)
        compile_c(*WASM, STANDALONE, self._page(), *WASM_LINKED)

    def get_outputs(self) -> list[str]:
        """What setuptools packs."""
        return [str(path) for path in (*self._sets(), self._page())]

    def get_output_mapping(self) -> dict[str, str]:
        """Nothing is built in one place and copied to another."""
        return {}

    def _sets(self) -> dict[Path, tuple[str, str]]:
        return {self._built(SOURCE.parent / name): how for name, how in _libraries().items()}

    def _page(self) -> Path:
        return self._built(PAGE / "kernels.wasm")

    def _built(self, path: Path) -> Path:
        return path if self.inplace or self.editable_mode else Path(self.build_lib) / path


if __name__ == "__main__":  # tests of other hosts take `compile_c`
    setup(
        ext_modules=[Extension(f"{PACKAGE}.kernels", [str(SOURCE)])],
        cmdclass={"build_ext": BuildKernels},
    )
