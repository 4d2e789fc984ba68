"""What can go wrong between a party and the chain.

ChainError
├── WrongChain          the endpoint serves another chain than the deployment names
├── NoContract          there is no code at a contract's address
├── Reverted            a call or transaction was refused; carries the contract's own error with its values
└── ChainUnavailable    no answer from the endpoint
"""


class ChainError(Exception):
    """Base. `code` is for machines."""

    code = "chain_error"


class WrongChain(ChainError):
    code = "wrong_chain"

    def __init__(self, *, expected: int, found: int, rpc_url: str) -> None:
        super().__init__(f"{rpc_url} serves chain {found}, the deployment is on chain {expected}; check the RPC URL")


class NoContract(ChainError):
    code = "no_contract"

    def __init__(self, *, name: str, address: str) -> None:
        super().__init__(f"no code at {address}, where {name} should be; check the deployment file and the RPC URL")


class Reverted(ChainError):
    """`error` is the custom error's name, `values` its arguments."""

    code = "reverted"

    def __init__(self, error: str, values: tuple[object, ...] = ()) -> None:
        self.error, self.values = error, values
        super().__init__(f"the contract refused: {error}({', '.join(map(str, values))})")


class ChainUnavailable(ChainError):
    code = "chain_unavailable"

    def __init__(self, rpc_url: str, why: str) -> None:
        super().__init__(f"no answer from {rpc_url}: {why}; is the chain running?")
