"""What can go wrong between a node, a backend and the chain. What can go wrong while computing: `execution/errors.py`.

AgentError
├── SetupError                 fatal: the agent does not start
│   ├── PasswordMissing            no password for the keystore
│   ├── BadSetting                 an option that cannot be used
│   ├── NotRegistered              the node's key belongs to no operator
│   ├── NotFunded                  an account lacks what a transaction needs
│   ├── HostUnsupported            no host on which jobs can be confined
│   ├── NodeRunning                another process serves with this key already
│   ├── NothingToServe             none of the offered workloads can be served here
│   └── ForeignBackend             the backend works on another deployment
├── BackendError               the loop reports it, waits and goes on
│   ├── BackendUnavailable         no answer, or only 5xx, after every attempt
│   ├── BackendRefused             an RFC 9457 problem: carries the backend's own code and words
│   └── BadAnswer                  not what contracts.protocol.wire says, too large, or of another hash
├── LeaseRejected              nothing is computed, nothing is signed
│   ├── ForgedLease                not the settler's signature, or not this node's
│   ├── LeaseOver                  it ended before it came
│   ├── ForgedOrder                not the order that its signer signed
│   ├── AlteredJob                 input, parameters or workload are not those of the order
│   ├── TooSlow                    this host would not finish before the deadline
│   └── UnpayableJob               its price, deadline or lane do not pay for the work
├── JobAbandoned               nothing is signed
│   ├── EngineFailed               the engine raised
│   ├── OutOfTime                  the answer can't be there in time any more
│   └── LeaseLost                  the lease ran out while the engine worked
├── NotRooted                  own delivered jobs stay without a root: the agent stops asking for more
├── JournalError               fatal: what cannot be written down is not signed
│   └── JournalFull                no room for it now: the loop reports it, takes no job, and goes on
├── CanaryFailed               the canary job did not end in a credit
└── NotSettleable              a leaf that cannot be settled by its node (now)


"""

from contracts.protocol.errors import AssayError


class AgentError(AssayError):
    """Base."""


class SetupError(AgentError):
    """Thrown before the agent serves: it cannot start as it is set up."""


class PasswordMissing(SetupError):
    """Thrown when a key file must be opened and ASSAY_PASSWORD is not set."""


class BadSetting(SetupError):
    """Thrown when an option's value cannot be used."""


class NotRegistered(SetupError):
    """Thrown when the node's key is no operator's on this deployment."""


class NotFunded(SetupError):
    """Thrown when the owner lacks gas or tokens for what it is about to send."""


class HostUnsupported(SetupError):
    """Thrown on a system on which jobs cannot be confined, so that none may run."""


class NodeRunning(SetupError):
    """Thrown when another process serves from this home already: one key signs in one place."""


class NothingToServe(SetupError):
    """Thrown when this host can serve none of the workloads that the backend offers."""


class ForeignBackend(SetupError):
    """Thrown when a backend names other contracts or another settler than the deployment file."""


class CallFailed(AgentError):
    """Thrown when a call to a backend brought nothing that can be used."""

    code = "backend_error"


class NoAnswer(CallFailed):
    """Thrown when every attempt ended in a transport error or a 5xx."""

    code = "backend_unavailable"


class BackendRefused(CallFailed):
    """Thrown when the backend answered with problem details.

    Attributes:
        reason: the backend's `code`.
        status: HTTP status.
        final: False for answers that mean "not now", so that the same call may succeed later.
    """

    def __init__(self, *, status: int, reason: str, detail: str, call: str) -> None:
        super().__init__(f"{call} was refused with {status} {reason}:", way_out=detail, status=status, reason=reason)
        self.status, self.reason = status, reason
        self.final = status not in (408, 425, 429) and reason != "blob_missing"


class BadAnswer(CallFailed):
    """Thrown when an answer is not what the agreement says. Nothing of it is used."""


class LeaseRejected(AgentError):
    """Thrown when a granted job does not check out."""


class ForgedLease(LeaseRejected):
    """Thrown when a lease is not signed by the deployment's settler, or names another node or order."""


class LeaseOver(LeaseRejected):
    """Thrown when a lease has ended by this host's clock when it comes."""


class TooSlow(LeaseRejected):
    """Thrown when this host, as fast as it is, would not finish a job before its deadline."""


class ForgedOrder(LeaseRejected):
    """Thrown when an order's signature is not its signer's."""


class AlteredJob(LeaseRejected):
    """Thrown when input, parameters or workload are not those that the order's hashes name."""


class UnpayableJob(LeaseRejected):
    """Thrown when an order pays less than the node asks, ends too soon or too late, or its lane does not cover it."""


class JobAbandoned(AgentError):
    """Thrown when a job ends without an answer. Nothing was signed for it."""


class EngineFailed(JobAbandoned):
    """Thrown when the engine raised; carries its error's code or type."""


class OutOfTime(JobAbandoned):
    """Thrown when a job under way can't be answered in time any more. Its lease is given back."""


class LeaseLost(JobAbandoned):
    """Thrown when the lease had run out before the answer was there."""


class RootsOverdue(AgentError):
    """Thrown when too many delivered jobs are not under a root after twice the longest epoch."""

    code = "not_rooted"


class JournalError(AgentError):
    """Thrown when the journal belongs to another key or deployment, or cannot be read or written."""


class JournalFull(JournalError):
    """Thrown when the journal's file system has no room for what would be signed."""


class CanaryFailed(AgentError):
    """Thrown when the canary job ended otherwise than in a credit, or took too long."""


class NotSettleable(AgentError):
    """Thrown when a leaf is unknown, not under its root, paid already, or not yet open to be settled one by one."""
