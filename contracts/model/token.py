"""The token: ERC-20 with permits (ERC-2612) and authorizations (EIP-3009)."""

from dataclasses import dataclass, field

from contracts.model.base import U256, Chain, Refused, hash_words, refuse_if, signer_of
from contracts.protocol.hashing import keccak

_DOMAIN_HASH = keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
_PERMIT_HASH = keccak(b"Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)")
_RECEIVE_HASH = keccak(
    b"ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,"
    b"bytes32 nonce)"
)
_BLOCK_RANGE_FLAG = 1 << 47


@dataclass
class Token:
    """Balances and allowances in base units."""

    chain: Chain
    address: str
    chain_id: int
    minter: str
    name: str = "Assay Development Token"
    balances: dict[str, int] = field(default_factory=dict)
    allowances: dict[tuple[str, str], int] = field(default_factory=dict)
    permit_nonces: dict[str, int] = field(default_factory=dict)
    used: set[tuple[str, bytes]] = field(default_factory=set)

    def balance_of(self, who: str) -> int:
        """Tokens of an account."""
        return self.balances.get(who, 0)

    def mint(self, caller: str, to: str, amount: int) -> None:
        """Mints, by the deployer."""
        refuse_if(caller != self.minter, "DevToken_NotMinter", caller)
        self.balances[to] = self.balance_of(to) + amount
        self.chain.emit(self.address, "Transfer", "0x" + "00" * 20, to, amount)

    def approve(self, caller: str, spender: str, amount: int) -> bool:
        """Sets an allowance; 2^256 - 1 is never used up."""
        self.allowances[caller, spender] = amount
        self.chain.emit(self.address, "Approval", caller, spender, amount)
        return True

    def transfer(self, caller: str, to: str, amount: int) -> bool:
        """Transfers from the caller."""
        balance = self.balance_of(caller)
        refuse_if(balance < amount, "ERC20InsufficientBalance", caller, balance, amount)
        self.balances[caller] = balance - amount
        self.balances[to] = self.balance_of(to) + amount
        self.chain.emit(self.address, "Transfer", caller, to, amount)
        return True

    def transfer_from(self, caller: str, owner: str, to: str, amount: int) -> bool:
        """Transfers by an allowance."""
        allowance = self.allowances.get((owner, caller), 0)
        if allowance != U256:
            refuse_if(allowance < amount, "ERC20InsufficientAllowance", caller, allowance, amount)
            self.allowances[owner, caller] = allowance - amount
        return self.transfer(owner, to, amount)

    def try_permit(self, owner: str, spender: str, amount: int, deadline: int, signature: bytes) -> None:
        """Sets an allowance by signature, each nonce once. Ignores failures."""
        nonce = self.permit_nonces.get(owner, 0)
        digest = self.digest(hash_words(_PERMIT_HASH, owner, spender, amount, nonce, deadline))
        if self.chain.now > deadline or signer_of(digest, signature) != owner:
            return
        self.permit_nonces[owner] = nonce + 1
        self.approve(owner, spender, amount)

    def permit_digest(self, owner: str, spender: str, amount: int, deadline: int) -> bytes:
        """The digest that an owner signs next for `try_permit`."""
        nonce = self.permit_nonces.get(owner, 0)
        return self.digest(hash_words(_PERMIT_HASH, owner, spender, amount, nonce, deadline))

    def receive_digest(self, payer: str, to: str, amount: int, after: int, before: int, nonce: bytes) -> bytes:
        """The digest that a payer signs for `receive_with_authorization`."""
        return self.digest(hash_words(_RECEIVE_HASH, payer, to, amount, after, before, nonce))

    def receive_with_authorization(
        self, caller: str, payer: str, amount: int, after: int, before: int, nonce: bytes, signature: bytes
    ) -> None:
        """Transfers by EIP-3009 authorization to the caller. Bit 47 of both bounds makes them block numbers."""
        digest = self.receive_digest(payer, caller, amount, after, before, nonce)
        self._require_signed(payer, digest, signature)
        flag = after & before & _BLOCK_RANGE_FLAG
        clock = self.chain.block if flag else self.chain.now
        valid = (after & ~flag) < clock < (before & ~flag)
        refuse_if(not valid, "ERC3009InvalidAuthorizationTime", after, before)
        refuse_if((payer, nonce) in self.used, "ERC3009UsedAuthorization", payer, nonce)
        self.used.add((payer, nonce))
        self.chain.emit(self.address, "AuthorizationUsed", payer, nonce)
        self.transfer(payer, caller, amount)

    def digest(self, struct_hash: bytes) -> bytes:
        """EIP-712 digest in the token's own domain."""
        separator = hash_words(_DOMAIN_HASH, keccak(self.name.encode()), keccak(b"1"), self.chain_id, self.address)
        return keccak(b"\x19\x01" + separator + struct_hash)

    @staticmethod
    def _require_signed(payer: str, digest: bytes, signature: bytes) -> None:
        """Refuses malformed signatures with OpenZeppelin's ECDSA errors, somebody else's with the token's."""
        v, s = signature[64], signature[32:64]
        if int.from_bytes(s, "big") > 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0:
            raise Refused("ECDSAInvalidSignatureS", s)
        found = signer_of(digest, signature)
        refuse_if(v not in (27, 28) or found == "0x" + "00" * 20, "ECDSAInvalidSignature")
        refuse_if(found != payer, "ERC3009InvalidSignature")


@dataclass
class UnitToken:
    """Moves the token in units for one contract."""

    token: Token
    holder: str
    unit: int

    def pull(self, payer: str, units: int) -> None:
        """Takes units that the payer approved."""
        self.token.transfer_from(self.holder, payer, self.holder, units * self.unit)

    def push(self, to: str, units: int) -> None:
        """Pays units out."""
        refuse_if(int(to, 16) == 0, "UnitToken_ZeroReceiver")
        self.token.transfer(self.holder, to, units * self.unit)
