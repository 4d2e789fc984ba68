"""Founds a network: every party gets keys, ether, tokens, stake or a lane, and every program is started.

The demo and `assay up` share it; a cast lists the parties and their amounts.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from eth_utils.address import to_checksum_address

from contracts.onchain.keystore import create_key, load_key
from contracts.protocol.signing import Signer
from deploy.localnet.network import Network
from deploy.localnet.processes import Party

TOKEN_UNITS = 10**9


@dataclass(frozen=True)
class Parties:
    """The parties. Amounts in units; a requester keeps `wallet_units` outside its lane."""

    nodes: tuple[str, ...]
    verifiers: tuple[str, ...]
    requesters: tuple[str, ...]
    node_stake_units: int
    verifier_stake_units: int
    lane_units: int
    treasury_lane_units: int
    settler_bond_units: int
    wallet_units: int = 0
    requester_key: str = "owner"


@dataclass
class NetworkSetup:
    """The steps, to be taken in order. `accounts`: party name -> account id in StakeManager."""

    network: Network
    cast: Parties
    say: Callable[[str], None]
    owners: dict[str, Signer] = field(default_factory=dict)
    accounts: dict[str, int] = field(default_factory=dict)

    @property
    def requesters(self) -> dict[str, Signer]:
        """The requesters' wallets."""
        return {name: self.owners[name] for name in self.cast.requesters}

    def make_keys(self) -> None:
        """Owner keys of operators and verifiers, and requesters' wallets. Encrypting takes a second each."""
        files = {name: self.network.party(name).key("owner") for name in (*self.cast.nodes, *self.cast.verifiers)}
        files |= {name: self.network.party(name).key(self.cast.requester_key) for name in self.cast.requesters}
        with ThreadPoolExecutor(2) as pool:
            made = pool.map(lambda name: create_key(files[name], self.network.party(name).password), files)
            self.owners = dict(zip(files, made, strict=True))

    def fund(self) -> None:
        """Gives every party ether and tokens, bonds the settler, and funds the lanes."""
        network, cast, unit = self.network, self.cast, self.network.constants.unit_wei
        backend = network.party("backend")
        treasury = load_key(backend.key("treasury"), backend.password)
        settler = load_key(backend.key("settler"), backend.password)
        units = dict.fromkeys(cast.nodes, cast.node_stake_units)
        units |= dict.fromkeys(cast.verifiers, cast.verifier_stake_units)
        units |= dict.fromkeys(cast.requesters, cast.lane_units + cast.wallet_units)
        tokens = {self.owners[name].address: amount * unit for name, amount in units.items()}
        network.fund(tokens | {treasury.address: cast.treasury_lane_units * unit}, ether_only=[settler.address])
        network.bond_settler(cast.settler_bond_units)
        network.fund_lane(treasury, cast.treasury_lane_units)
        for requester in self.requesters.values():
            network.fund_lane(requester, cast.lane_units)

    def join_verifiers(self) -> None:
        """Verifiers make their keys, register and stake; the governor admits them."""
        network, keys = self.network, {}
        for name in self.cast.verifiers:
            party = network.party(name)
            printed = network.processes.run(
                f"{name}-init", ["verifier", "init", "--home", str(party.home)], party=party
            )
            account = network.register_verifier(self.owners[name], self.cast.verifier_stake_units)
            self.accounts[name], keys[account] = account, printed.split()[-1]
        network.founder().pay(list(keys.values()), 10**18)
        network.admit_verifiers(keys)

    def join_node(self, name: str) -> None:
        """A node registers and stakes with its own command."""
        party = self.network.party(name)
        payout = to_checksum_address(_payout_key(party).address)
        stake = ["--payout", payout, "--stake", str(self.cast.node_stake_units // TOKEN_UNITS)]
        arguments = ["node", "init", "--home", str(party.home), *self.network.common(), *stake]
        self.network.processes.run(f"{name}-init", arguments, party=party)
        chain, owner = self.network.chain(), to_checksum_address(self.owners[name].address)
        self.accounts[name] = int(chain.stakes.functions.operatorIdOf(owner).call())


def _payout_key(party: Party) -> Signer:
    return create_key(party.key("payout"), party.password)
