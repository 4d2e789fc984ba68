"""For each proof of test/symbolic, a line of the contracts and a wrong one in its place, under which it must fail.

Twins of one batch are made in one copy, since compiling takes longer than proving: no two of them meet in one function.
"""

from typing import NamedTuple


class Twin(NamedTuple):
    """A line as it is, what is wrong in the copy, and the proofs that must notice."""

    file: str
    right: str
    wrong: str
    proofs: tuple[str, ...]


BATCHES = (
    (
        Twin("Epochs.sol", "if (msg.sender != settler) revert", "if (msg.sender == address(0)) revert", (
            "check_postEpoch_onlyBySettler", "check_settleEpoch_onlyBySettlerItself",
            "check_unbondSettler_onlyBySettler", "check_withdrawBond_onlyBySettler",
        )),
        Twin("Epochs.sol", "if (msg.sender != GUARDIAN) revert", "if (msg.sender == address(0)) revert", (
            "check_pause_onlyByGuardian",
        )),
        Twin("Epochs.sol", "!= GUARDIAN && msg.sender != GOVERNOR)", "== address(0))", (
            "check_unpause_onlyByGuardianOrGovernor",
        )),
        Twin("Epochs.sol", "if (msg.sender != GOVERNOR) revert", "if (msg.sender == address(0)) revert", (
            "check_setSettler_onlyByGovernor", "check_resetBeacon_onlyByGovernor",
        )),
        Twin("StakeManager.sol", "if (msg.sender != GOVERNOR) revert", "if (msg.sender == address(0)) revert", (
            "check_admitVerifier_onlyByGovernor", "check_retireVerifier_onlyByGovernor",
        )),
        Twin("JobEscrow.sol", "if (msg.sender != COURT) revert", "if (msg.sender == address(0)) revert", (
            "check_refund_onlyByCourt",
        )),
        Twin("JobEscrow.sol", "if (msg.sender != CONTESTS) revert", "if (msg.sender == address(0)) revert", (
            "check_refundFromBond_onlyByContests",
        )),
        Twin("StakeManager.sol", "if (msg.sender != COURT) revert", "if (msg.sender == address(0)) revert", (
            "check_lock_onlyByCourt", "check_unlock_onlyByCourt", "check_slash_onlyByCourt",
            "check_lockVerifier_onlyByCourt", "check_reward_onlyByCourt",
        )),
        Twin("SlashingCourt.sol", "if (!accused) revert", "if (accused && file.executed) revert", (
            "check_appeal_onlyByTheAccused",
        )),
        Twin("JobEscrow.sol", "if (msg.sender != stakes.ownerOf(operatorId))", "if (msg.sender == address(0))", (
            "check_claimToStake_onlyByOwner",
        )),
        Twin("Lanes.sol", "_lane(msg.sender, signer).noticeAt = 0;", "_lane(signer, signer).noticeAt = 0;", (
            "check_lane_untouchedByOthers",
        )),
        Twin("StakeManager.sol", "operator.payout = payoutOf(id);", "_operators[1].payout = payoutOf(id);", (
            "check_account_untouchedByOthers",
        )),
        Twin("libraries/TypedData.sol", "hashOrder(order.requester, order.spendCap, hash",
             "hashOrder(order.requester, order.spendCap / 2, hash", (
            "check_order_isEip712", "check_order_byItsTermsHashIsTheSame", "check_orderId_isOfOneOrderOnly",
        )),
        Twin("libraries/TypedData.sol", "abi.encode(COMMITMENT_TYPEHASH, commitment)",
             "abi.encode(VERDICT_TYPEHASH, commitment)", ("check_commitment_isEip712",)),
        Twin("libraries/TypedData.sol", "abi.encode(VERDICT_TYPEHASH, verdict)",
             "abi.encode(COMMITMENT_TYPEHASH, verdict)", ("check_verdict_isEip712",)),
        Twin("libraries/TypedData.sol", "abi.encode(LANE_GRANT_TYPEHASH, requester, signer,",
             "abi.encode(LANE_GRANT_TYPEHASH, signer, requester,", ("check_laneGrant_isEip712",)),
        Twin("libraries/TypedData.sol", "abi.encode(NODE_KEY_TYPEHASH, owner, node)",
             "abi.encode(NODE_KEY_TYPEHASH, node, owner)", ("check_nodeKey_isEip712",)),
        Twin("libraries/Merkle.sol", "if (index >= count) revert", "if (index > count) revert", (
            "check_proof_isOfTheLeafAtItsPlace",
        )),
        Twin("libraries/Merkle.sol", "uint256(operatorId) << 64 |", "uint256(operatorId) << 32 |", (
            "check_leaf_isOfOneRowOnly",
        )),
        Twin("libraries/Merkle.sol", "abi.encodePacked(requester, signer)",
             "abi.encodePacked(requester, uint96(uint160(signer)))", ("check_laneKey_isOfOneLaneOnly",)),
        Twin("libraries/Merkle.sol", "if and(width, 1) {", "if iszero(and(width, 1)) {", (
            "check_root_isThePlainOne", "check_everyLeaf_hasItsProof",
        )),
        Twin("libraries/PackedEpoch.sol", "(uint32(tally >> 64), uint64(tally))",
             "(uint32(tally >> 64), uint48(tally))", ("check_tally_holdsAllRowsBesideTheId",)),
        Twin("libraries/PackedEpoch.sol", "reader.tallies[uint16(bytes2(word(packed, offset)))] -= units;",
             "reader.tallies[uint16(bytes2(word(packed, offset)))] -= units / 2;", (
            "check_voidRow_changesNoTally",
        )),
        Twin("Lanes.sol", "if (sumUnits > balanceUnits) return SkipReason.BALANCE;",
             "if (sumUnits > balanceUnits) revert JobEscrow_IsPaused();", ("check_hostileLane_neverBlocksTheRest",)),
        Twin("JobEscrow.sol", "_leaves[proof.epochId][proof.index].paidAt = uint40(block.timestamp);",
             "_leaves[proof.epochId][proof.index].paidAt = 0;", ("check_settleOne_isAlwaysThereAndOnlyOnce",)),
    ),
    (
        Twin("Lanes.sol", "block.timestamp >= maturesAt &&", "block.timestamp >= noticeAt &&", (
            "check_withdraw_onlyWhileTheNoticeIsRipe",
        )),
        Twin("Lanes.sol", "lane.balanceUnits += units;", "lane.balanceUnits += units / 2;", (
            "check_deposit_booksWhatCameIn",
        )),
        Twin("libraries/ChargeWindow.sol", "bond.spentPreviousUnits = bond.spentCurrentUnits;",
             "bond.spentPreviousUnits = 0;", ("check_anySpanOfAWindow_isAtMostTheBond",)),
        Twin("libraries/ChargeWindow.sol", "uint64(bond.spentCurrentUnits + sumUnits)",
             "uint32(bond.spentCurrentUnits + sumUnits)", ("check_spend_isExact",)),
        Twin("libraries/ChargeWindow.sol", "spent = spent > taken ? spent - taken : 0;",
             "spent = spent > taken ? spent : 0;", ("check_giveBack_keepsWhatCountsCovered",)),
        Twin("StakeManager.sol", "if (_activeUnits(operator) == 0) revert", "if (key == address(0)) revert", (
            "check_commitVerdict_onlyByVerifierKey",
        )),
        Twin("JobEscrow.sol", "credit.claimedUnits = credit.earnedUnits;",
             "credit.claimedUnits = credit.earnedUnits / 2;", ("check_claim_isAlwaysThereAndOnlyOnce",)),
        Twin("Contests.sol", "contest_.closedAs = closedAs;",
             "if (closedAs != ContestStatus.LAPSED) contest_.closedAs = closedAs;", (
            "check_lapse_isAlwaysThereForAnOverdueContest",
        )),
        Twin("Contests.sol", "uint256(units) * terms.unitPrice", "uint256(uint16(units)) * terms.unitPrice", (
            "check_answer_onlyForTheFormulasAmount",
        )),
        Twin("Lanes.sol", "if (chargedUnits > capProvenUnits) {", "if (chargedUnits > uint256(capProvenUnits) + 1) {", (
            "check_settleEpoch_staysBelowTheProvenCap",
        )),
        Twin("Epochs.sol", "if (epoch.outcomes != 0) revert JobEscrow_AlreadySettled(id);",
             "if (epoch.outcomes == 1) revert JobEscrow_AlreadySettled(id);", ("check_settleEpoch_once",)),
        Twin("Epochs.sol", "uint64(chargedUnits - feeUnits)", "uint64(chargedUnits)", (
            "check_settleEpoch_conserves",
        )),
        Twin("StakeManager.sol", "if (operatorOf(node) != id) revert", "if (operatorOf(node) == 0) revert", (
            "check_revokeNodeKey_onlyByItsOwner",
        )),
        Twin("StakeManager.sol", "_operators[id].lockedUnits += units;",
             "_operators[id].lockedUnits += units / 2;", ("check_lock_isAllOfIt",)),
    ),
    (
        Twin("Lanes.sol", "if (noticeAt == 0 || !mature)", "if (paused || noticeAt == 0 || !mature)", (
            "check_withdraw_isAlwaysThereAfterNotice",
        )),
        Twin("Lanes.sol", "if (!_isCapSigned(requester, signer, capProof)) return SkipReason.SIGNATURE;",
             "if (!_isCapSigned(requester, signer, capProof)) revert JobEscrow_IsPaused();", (
            "check_hostileSignature_neverBlocksTheRest",
        )),
        Twin("StakeManager.sol", "operator.lockedUnits -= units;", "operator.lockedUnits -= units / 2;", (
            "check_unlock_isExact",
        )),
    ),
)  # fmt: skip
