"""The switches that make torch deterministic.

They are process-wide, so engines set them before every run: another library in the process may have changed one.
Sources: PyTorch notes on reproducibility and on numerical accuracy; cuBLAS documentation, "Results reproducibility"
(the workspace must be configured before the first CUDA call).
"""

import os

import torch

CPU_THREADS = 1
"""Reductions split over threads add in another order, so the number is fixed. One is what every host has."""

CUBLAS_WORKSPACE = ":4096:8"

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACE)


def enforce(threads: int = CPU_THREADS) -> None:
    """Sets every switch; takes microseconds where nothing changes. Another number of CPU threads is another numeric
    class."""
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    if not torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(True)
    # Filling fresh buffers with NaN finds bugs in tests but costs a pass over each of them.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    full_precision()
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def full_precision() -> None:
    """Keeps all 24 bits in fp32 products. Exact arithmetic needs nothing else, and any number of threads will do."""
    if torch.get_float32_matmul_precision() != "highest":
        torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.allow_tf32 = False


def switches() -> dict[str, str]:
    """The present switches, for the numeric class and the self-test."""
    return {
        "cublas_workspace": os.environ.get("CUBLAS_WORKSPACE_CONFIG", ""),
        "cudnn_benchmark": str(torch.backends.cudnn.benchmark),
        "deterministic_algorithms": str(torch.are_deterministic_algorithms_enabled()),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "mkldnn_enabled": str(torch.backends.mkldnn.enabled),
        "threads": str(torch.get_num_threads()),
        "tf32_cudnn": str(torch.backends.cudnn.allow_tf32),
        "tf32_matmul": str(torch.backends.cuda.matmul.allow_tf32),
    }
