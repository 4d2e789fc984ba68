"""States in sentences what a verified receipt proves and what it does not."""

from datetime import UTC, datetime

from contracts.onchain.chain import Chain
from contracts.protocol.amounts import TokenScale
from contracts.protocol.errors import NotPacked
from contracts.protocol.packed import counts
from contracts.protocol.receipt import PaymentReceipt
from verifier.receipts.onchain import LeafHistory

PROVES_NOTHING = "Something in this receipt does not hold, so nothing in it can be relied on."


def statements(chain: Chain, receipt: PaymentReceipt, facts: LeafHistory, output: bytes | None) -> list[str]:
    """The proven claims. `output`: the answer to compare, if there is one."""
    order, show = receipt.order, _scale(chain).show
    lane = f"the lane of {order.requester}"
    if receipt.signer != order.requester:
        lane += f" whose session key is {receipt.signer}"
    found = [
        f"{receipt.signer} signed order {receipt.order_id}: at most {show(order.terms.max_price)}, "
        f"{show(order.terms.fixed_price)} and {show(order.terms.unit_price)} a unit, until "
        f"{_time(order.terms.deadline)}.",
        f"Node {receipt.commitment.node} of operator {receipt.leaf.operator_id} signed that it delivered "
        f"{receipt.commitment.units} units, and nobody can change the answer's hash since "
        f"{_time(facts.posted_at)}, when epoch {receipt.leaf.epoch_id} was posted.",
        _charge(chain, receipt, facts, lane),
    ]
    found += _refunds(chain, facts)
    if output is not None:
        found.append("The output file is the answer that the node committed to.")
        found += cut_words(receipt, output)
    return found


def limits(receipt: PaymentReceipt, facts: LeafHistory, output: bytes | None) -> list[str]:
    found = [f"That the answer is right. {_sampling(facts)}"]
    if facts.outcome == "rooted":
        found.append("The charge's outcome: the epoch is not settled yet. Verify again after its check period.")
    if output is None:
        found.append("That the answer reached anybody: give --output FILE to compare yours.")
        limit = receipt.order.terms.params.max_new_tokens
        if limit and receipt.commitment.units >= limit:
            found.append(f"That the answer is whole: it may have been cut at the {limit} tokens that were ordered.")
    found.append("That the RPC endpoint tells the truth about the chain: use one that you trust.")
    return found


def cut_words(receipt: PaymentReceipt, output: bytes) -> list[str]:
    """Whether answers are as long as the order allows, so that they may have been cut."""
    limit = receipt.order.terms.params.max_new_tokens
    try:
        lengths = counts(output) if limit else []
    except NotPacked:
        return []
    full = sum(length >= limit for length in lengths)
    words = f"{full} of {len(lengths)} answers have all the {limit} tokens ordered: they may have been cut."
    return [words] if full else []


def _charge(chain: Chain, receipt: PaymentReceipt, facts: LeafHistory, lane: str) -> str:
    show, leaf = _scale(chain).show, receipt.leaf
    where = f"The escrow at {receipt.contracts.escrow} on chain {receipt.chain_id}"
    fee = f"{chain.deployment.constants.fee_bps / 100:g} % fee"
    amount = show(leaf.amount_units)
    return {
        "paid": f"{where} charged {lane} {amount} for this order, and credited operator {leaf.operator_id} with it, "
        f"less the {fee}, when the epoch was settled.",
        "paid one by one": f"{where} charged {lane} {amount} for this order, and credited operator "
        f"{leaf.operator_id} with it, less the {fee}, in a settlement of this one row.",
        "void": f"{where} charged {lane} nothing: the row was declared VOID when the epoch was settled.",
        "skipped": f"{where} charged {lane} nothing so far: the lane could not pay, and the row can still be settled "
        "by itself.",
        "stranded": f"{where} charged {lane} nothing so far: nobody settled the epoch in time, and each of its rows "
        "can still be settled by itself.",
        "rooted": f"{where} holds a root under which {lane} is to be charged {amount} for this order.",
    }[facts.outcome]


def _refunds(chain: Chain, facts: LeafHistory) -> list[str]:
    show = _scale(chain).show
    sources = {"Refunded": "out of the node's slashed stake", "RefundedFromBond": "out of the settler's bond"}
    found = [f"{show(units)} came back to the lane, {sources[name]}." for name, units in facts.refunds.items()]
    cases = {
        "open": "A case against the node is open in the court.",
        "dismissed": "A case against the node was opened, and dismissed.",
        "in the node's favour": "A case against the node was opened, and the verifiers upheld the node's answer.",
        "against the node": "The court ruled against the node: verifiers computed another answer.",
    }
    contests = {
        "Contested": "The charge is contested: somebody demanded proof on chain that it was ordered and delivered.",
        "Answered": "The charge was contested, and order, commitment and answer were shown on chain.",
        "ContestResolved": "The charge was contested, and nobody showed that it was ordered and delivered.",
        "ContestLapsed": "The charge was contested; it was neither answered nor resolved in time, and stands.",
        "DuplicateRefunded": "The charge was shown on chain to be one too many for its order.",
    }
    return found + [words[key] for words, key in ((cases, facts.case), (contests, facts.contest)) if key in words]


def _sampling(facts: LeafHistory) -> str:
    if facts.draw is None:
        return "The epoch's sample of jobs to check is not drawn yet."
    drawn = facts.draw / 2**256
    return (
        f"It was checked if its node's check rate was above {drawn:.3f}, the number that it drew; `assay audit` "
        "recomputes the rate from the node's stake and open jobs."
    )


def _scale(chain: Chain) -> TokenScale:
    token, unit_wei = chain.token.functions, chain.deployment.constants.unit_wei
    return TokenScale(int(token.decimals().call()), unit_wei, str(token.symbol().call()))


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
