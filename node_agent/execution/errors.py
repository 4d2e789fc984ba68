"""What can go wrong while a model is loaded or run.

ExecutionError
+-- InvalidInput           the requester's bytes are no packed prompts within the workload's limits
+-- InvalidParams          the requester's parameters do not fit the workload's schema
+-- WorkloadMismatch       this host is not set up for the workload it was asked to run
|   +-- EngineMismatch         another engine or engine version
|   +-- ModelDigestMismatch    other bytes than the manifest or the pinned constants name
|   +-- NumericClassMismatch   another numeric class: equal bits are not to be expected
+-- UnknownKind            no file of this installation runs that kind of work
+-- TorchMissing           this work needs torch, which is not installed
+-- OutputTooLong          an output too large for the transaction that answers a contest
+-- ModelUnavailable       no such model here, or it could not be fetched
+-- UnsafeModelFormat      not safetensors or GGUF; pickles run code when loaded and are never opened
+-- UnsupportedModel       a safe file, but not an architecture this engine computes
+-- OutOfMemory            no room for an order beside those under way
+-- NumericFailure         the model produced NaN or infinity
+-- SelfTestFailed         this host gets a known answer wrong
+-- SandboxUnavailable     this host cannot keep a job from network, files and other processes
+-- ExecutorFailed         the confined process exited, timed out or sent malformed output during a job
"""

from contracts.protocol.errors import AssayError


class ExecutionError(AssayError):
    """Base."""


class InvalidInput(ExecutionError):
    """Thrown when the input bytes are no packed prompts, or exceed the workload's limits."""


class InvalidParams(ExecutionError):
    """Thrown when a parameter is unknown, missing, not an integer, or out of its range."""


class WorkloadMismatch(ExecutionError):
    """Thrown when this host, or its files, are not what the workload's manifest describes."""


class EngineMismatch(WorkloadMismatch):
    """Thrown when the manifest names another engine, or another version of it."""


class ModelDigestMismatch(WorkloadMismatch):
    """Thrown when a file's digest or root is not the one that the manifest, the weights or a pinned constant names."""


class NumericClassMismatch(WorkloadMismatch):
    """Thrown when this host's numeric class is not the manifest's, so its bits cannot be compared for equality."""


class UnknownKind(ExecutionError):
    """Thrown when no file under `node_agent/execution/kinds` runs the requested kind of work."""


class TorchMissing(ExecutionError):
    """Thrown when work needs torch, and this installation has none."""


class AnswerTooLong(ExecutionError):
    """Thrown when an output does not fit into the transaction that answers a contest."""

    code = "output_too_long"


class ModelUnavailable(ExecutionError):
    """Thrown when a model is unknown, not in the store, or could not be fetched."""


class UnsafeModelFormat(ExecutionError):
    """Thrown when a model file is not safetensors or GGUF. Nothing of the file is interpreted."""


class UnsupportedModel(ExecutionError):
    """Thrown when a model's configuration or tensors are not what this engine computes."""


class OutOfMemory(ExecutionError):
    """Thrown when the device has no room for an order's keys and values; orders under way are not touched."""


class NumericFailure(ExecutionError):
    """Thrown when a position's largest logit is NaN or infinite: there is no answer to sign."""


class SelfTestFailed(ExecutionError):
    """Thrown when a start-up check gives another value than the known answer."""


class SandboxUnavailable(ExecutionError):
    """Thrown when the operating system cannot confine the process that runs jobs. No job runs then."""


class ExecutorFailed(ExecutionError):
    """Thrown when the confined process exited, timed out or sent malformed output. Nothing of it is signed."""
