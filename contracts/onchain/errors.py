"""What can go wrong between a party and the chain.

ChainError
├── WrongChain          the endpoint serves another chain than the deployment's
├── NoContract          there is no code at a contract's address
├── WrongContract       the code at a contract's address is another contract, or of another deployment
├── Reverted            the contract refused a call or transaction; has its error and the error's values
├── RequestRefused      the endpoint itself refused a request; has its code and message
├── ChainUnavailable    the endpoint gave no answer, or an unusable one: wait, or use another
│   ├── EndpointLimited it takes no more requests for now
│   ├── WrongReply      its answer has not the expected shape
│   └── NotKnown        it has no such block, transaction or receipt (yet)
├── BadArguments        values that do not fit a contract's function
├── UnknownCall         calldata that does not call the contract
├── BadRpcUrl           not the URL of an endpoint
├── BadAddress          not an address
├── BadDeployment       a deployment file that is missing or malformed
├── ForeignCode         the code at an address is not this build's
└── NoFactory           the chain does not accept the contract that deploys to precomputed addresses
"""

from urllib.parse import urlsplit

from contracts.protocol.errors import AssayError


def shown_url(url: str) -> str:
    """Scheme, host and port of a URL. The rest often holds a key, and messages end up in logs."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}" + ("/…" if parts.path.strip("/") or parts.query else "")


class ChainError(AssayError):
    """Base."""


class WrongChain(ChainError):
    def __init__(self, *, expected: int, found: int, rpc_url: str) -> None:
        message = f"{rpc_url} serves chain {found}, the deployment is on chain {expected}"
        super().__init__(message, way_out="check the RPC URL")


class NoContract(ChainError):
    def __init__(self, *, name: str, address: str) -> None:
        message = f"no code at {address}, where {name} should be"
        super().__init__(message, way_out="check the deployment file and the RPC URL")


class WrongContract(ChainError):
    def __init__(self, *, address: str, getter: str, expected: str, found: str) -> None:
        super().__init__(
            f"{address} is not this deployment's JobEscrow: its {getter} is {found}, the deployment says {expected}",
            way_out="use the deployment file that the network publishes",
        )


class Reverted(ChainError):
    """`error` is the custom error's name, `arguments` its values."""

    def __init__(self, error: str, arguments: tuple[object, ...] = ()) -> None:
        self.error, self.arguments = error, arguments
        super().__init__(f"the contract refused: {error}({', '.join(map(str, arguments))})")


class RequestRefused(ChainError):
    """`number` is the JSON-RPC error code, `words` the endpoint's message."""

    def __init__(self, rpc_url: str, method: str, number: object, words: str) -> None:
        self.method, self.number, self.words = method, number, words
        way_out = "correct what it names, or use another endpoint with --rpc"
        super().__init__(f"{rpc_url} refused {method}: {words}", way_out=way_out)


class ChainUnavailable(ChainError):
    def __init__(self, rpc_url: str, why: str) -> None:
        super().__init__(f"no answer from {rpc_url}: {why}", way_out="is the chain running?")


class EndpointLimited(ChainUnavailable):
    def __init__(self, rpc_url: str, why: str) -> None:
        ChainError.__init__(self, f"{rpc_url} limits requests: {why}; wait, or use another endpoint with --rpc")


class WrongReply(ChainUnavailable):
    def __init__(self, rpc_url: str, why: str) -> None:
        ChainError.__init__(self, f"no usable answer from {rpc_url}: {why}; is it a chain's endpoint?")


class NotKnown(ChainUnavailable):
    def __init__(self, rpc_url: str, what: str) -> None:
        ChainError.__init__(self, f"{rpc_url} has no {what}; if it is behind, wait, or use another endpoint with --rpc")


class BadArguments(ChainError):
    def __init__(self, function: str, why: str) -> None:
        super().__init__(f"{function} does not take these values: {why}; give those of the contract's ABI")


class UnknownCall(ChainError):
    def __init__(self, contract: str, selector: bytes) -> None:
        message = f"calldata that begins with 0x{selector.hex()} does not call {contract}"
        super().__init__(message, way_out="it was sent to another contract")


class BadRpcUrl(ChainError):
    def __init__(self, url: str) -> None:
        super().__init__(
            f"{url.rpartition('@')[2][:40]!r} is not an endpoint's URL",
            way_out="give http:// or https:// with a host, e.g. --rpc http://127.0.0.1:8545",
        )


class BadAddress(ChainError):
    def __init__(self, *, name: str, value: str) -> None:
        super().__init__(f"{name} = {value[:60]!r} is not an address", way_out="give 0x and 40 hex digits")


class BadDeployment(ChainError):
    def __init__(self, path: object, why: str) -> None:
        super().__init__(
            f"{path} is not a deployment file: {why}",
            way_out="give the deployment.json of the network with --deployment or ASSAY_DEPLOYMENT",
        )


class ForeignCode(ChainError):
    def __init__(self, *, name: str, address: str, differs: str) -> None:
        super().__init__(
            f"the code at {address} is not this build's {name}: {differs}",
            way_out=(
                "do not use this network. If you founded it just now, the endpoint lies or another program changed the "
                "chain: ask another endpoint"
            ),
        )


class NoFactory(ChainError):
    def __init__(self, factory: str, why: str) -> None:
        super().__init__(
            f"the chain has no deterministic deployment proxy at {factory} and {why}",
            way_out="ask the chain's operators to put it there (github.com/Arachnid/deterministic-deployment-proxy)",
        )
