"""Errors between a node, a backend and the chain. Errors of computing are in `execution/errors.py`.

AgentError
├── SetupError                 fatal: the agent does not start
│   ├── PasswordMissing            ASSAY_PASSWORD is not set, and a key file must be opened
│   ├── BadSetting                 an option that cannot be used
│   ├── NotRegistered              the node's key belongs to no operator
│   ├── NotFunded                  the owner lacks gas or tokens for a transaction
│   ├── HostUnsupported            jobs cannot be confined on this host
│   ├── NodeRunning                another process serves with this key already
│   ├── NothingToServe             none of the offered workloads can be served here
│   └── ForeignBackend             the backend works on another deployment
├── BackendError               the loop reports it, waits and continues
│   ├── BackendUnavailable         no answer, or only 5xx, after every attempt
│   ├── BackendRefused             an RFC 9457 problem: carries the backend's own code and words
│   └── BadAnswer                  breaks contracts.protocol.wire, is too large, or has another hash
├── LeaseRejected              nothing is computed, nothing is signed
│   ├── ForgedLease                not the settler's signature, or not for this node and order
│   ├── LeaseOver                  it had ended when it came
│   ├── ForgedOrder                the order is not signed by its signer
│   ├── AlteredJob                 input, parameters or workload are not those of the order
│   ├── TooSlow                    this host would not finish before the deadline
│   └── UnpayableJob               its price, deadline or lane does not pay for the work
├── JobAbandoned               nothing is signed
│   ├── EngineFailed               the engine raised
│   ├── OutOfTime                  the answer can no longer be there in time; the lease is given back
│   └── LeaseLost                  the lease ran out before the answer was there
├── NotRooted                  too many delivered jobs stay without a root: the agent takes no more
├── JournalError               fatal: what cannot be written down is not signed
│   └── JournalFull                the disk is full: the loop reports it, takes no job, and continues
├── CanaryFailed               the canary job did not end in a credit
└── NotSettleable              a leaf that its node cannot settle (now)
"""

from contracts.protocol.errors import AssayError


class AgentError(AssayError): ...


class SetupError(AgentError): ...


class PasswordMissing(SetupError): ...


class BadSetting(SetupError): ...


class NotRegistered(SetupError): ...


class NotFunded(SetupError): ...


class HostUnsupported(SetupError): ...


class NodeRunning(SetupError): ...


class NothingToServe(SetupError): ...


class ForeignBackend(SetupError): ...


class CallFailed(AgentError):
    code = "backend_error"


class NoAnswer(CallFailed):
    code = "backend_unavailable"


class BackendRefused(CallFailed):
    """`reason`: the backend's code; `final`: False where the same call may succeed later."""

    def __init__(self, *, status: int, reason: str, detail: str, call: str) -> None:
        super().__init__(f"{call} was refused with {status} {reason}:", way_out=detail, status=status, reason=reason)
        self.reason, self.final = reason, status not in (408, 425, 429) and reason != "blob_missing"


class BadAnswer(CallFailed): ...


class LeaseRejected(AgentError): ...


class ForgedLease(LeaseRejected): ...


class LeaseOver(LeaseRejected): ...


class TooSlow(LeaseRejected): ...


class ForgedOrder(LeaseRejected): ...


class AlteredJob(LeaseRejected): ...


class UnpayableJob(LeaseRejected): ...


class JobAbandoned(AgentError): ...


class EngineFailed(JobAbandoned): ...


class OutOfTime(JobAbandoned): ...


class LeaseLost(JobAbandoned): ...


class RootsOverdue(AgentError):
    code = "not_rooted"


class JournalError(AgentError): ...


class JournalFull(JournalError): ...


class CanaryFailed(AgentError): ...


class NotSettleable(AgentError): ...
