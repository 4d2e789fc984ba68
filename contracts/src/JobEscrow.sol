// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {Epochs} from "./Epochs.sol";
import {IStakeManager} from "./interfaces/IStakeManager.sol";
import {ChargeWindow} from "./libraries/ChargeWindow.sol";
import {Merkle} from "./libraries/Merkle.sol";
import {PackedEpoch} from "./libraries/PackedEpoch.sol";
import {
    CapProof,
    Epoch,
    EpochStatus,
    Leaf,
    LeafProof,
    LeafStatus,
    OperatorCredit,
    Outcomes,
    SettlerBond,
    SkipReason
} from "./libraries/Types.sol";
import {UnitToken} from "./libraries/UnitToken.sol";

/// @notice Documented in IJobEscrow: single leaves and what was earned with them. Lanes and epochs are in the bases.
contract JobEscrow is Epochs {
    using ChargeWindow for SettlerBond;
    using SafeERC20 for IERC20;
    using UnitToken for IERC20;

    /// @dev What a leaf's epoch, as a whole, says of it.
    enum LeafOutcome {
        PAID,
        VOID,
        ONE_BY_ONE
    }

    mapping(uint64 epochId => mapping(uint32 index => Leaf)) private _leaves;

    constructor(Params memory params) Epochs(params) {}

    // ---------------------------------------------------------------- anyone

    function settleOne(LeafProof calldata proof, Outcomes calldata outcomes, CapProof calldata capProof) external {
        // Check:
        (LeafStatus status,) = leafStatus(proof, outcomes);
        if (status != LeafStatus.UNCHARGED) revert JobEscrow_LeafNotPayable(proof.epochId, proof.index, status);

        // Effect:
        _leaves[proof.epochId][proof.index].paidAt = uint40(block.timestamp);
        bytes32 laneKey = Merkle.laneKey(proof.requester, proof.signer);
        SkipReason reason = _charge(laneKey, proof.requester, proof.signer, proof.amountUnits, capProof);
        if (reason != SkipReason.NONE) revert JobEscrow_LaneDoesNotCover(proof.requester, proof.signer, reason);
        uint256 feeUnits = _credit(proof.operatorId, proof.amountUnits);
        _book(proof.amountUnits, feeUnits);
        emit LeafSettled(
            proof.epochId,
            proof.index,
            proof.requester,
            proof.signer,
            proof.operatorId,
            proof.amountUnits,
            uint64(feeUnits)
        );
    }

    function claim(uint32 operatorId) external nonReentrant {
        // Check, Effect:
        address payout = IStakeManager(STAKE_MANAGER).payoutOf(operatorId);
        uint64 units = _takeCredit(operatorId);
        emit Claimed(operatorId, payout, units);

        // Interaction:
        IERC20(TOKEN).push(UNIT, payout, units);
    }

    function claimToStake(uint32 operatorId) external nonReentrant {
        // Check, Effect:
        IStakeManager stakes = IStakeManager(STAKE_MANAGER);
        if (msg.sender != stakes.ownerOf(operatorId)) revert JobEscrow_NotOwner(msg.sender, operatorId);
        uint64 units = _takeCredit(operatorId);
        emit ClaimedToStake(operatorId, units);

        // Interaction:
        IERC20(TOKEN).forceApprove(STAKE_MANAGER, units * UNIT);
        stakes.stake(operatorId, units);
    }

    function withdrawFees() external nonReentrant {
        // Effect:
        uint64 units = _totals.feesUnits;
        _totals.feesUnits = 0;
        emit FeesWithdrawn(units);

        // Interaction:
        IERC20(TOKEN).push(UNIT, TREASURY, units);
    }

    // ---------------------------------------------------------------- court, contests

    function refund(LeafProof calldata proof, Outcomes calldata outcomes, uint64 limitUnits)
        external
        returns (uint64 units)
    {
        // Check:
        if (msg.sender != COURT) revert JobEscrow_NotCourt(msg.sender);
        (LeafStatus status,) = _leafStatus(proof, outcomes);

        // Effect:
        if (status == LeafStatus.UNCHARGED) _leaves[proof.epochId][proof.index].closed = true;
        if (status != LeafStatus.PAID) return 0;
        units = _unrefundedUnits(proof);
        if (units > limitUnits) units = limitUnits;
        if (units == 0) return 0;
        _giveBack(proof, units);
        emit Refunded(proof.epochId, proof.index, proof.requester, proof.signer, units);
    }

    function refundFromBond(LeafProof calldata proof, Outcomes calldata outcomes) external returns (uint64 units) {
        // Check:
        if (msg.sender != CONTESTS) revert JobEscrow_NotContests(msg.sender);
        (LeafStatus status,) = leafStatus(proof, outcomes);
        if (status != LeafStatus.PAID) return 0;

        // Effect:
        units = _settlerBond.giveBack(_unrefundedUnits(proof));
        _giveBack(proof, units);
        emit RefundedFromBond(proof.epochId, proof.index, proof.requester, proof.signer, units, _settlerBond.bondUnits);
    }

    // ---------------------------------------------------------------- views

    function leaves(uint64 epochId, uint32 index) external view returns (Leaf memory) {
        return _leaves[epochId][index];
    }

    function leafStatus(LeafProof calldata proof, Outcomes calldata outcomes)
        public
        view
        returns (LeafStatus status, uint40 chargedAt)
    {
        requireLeaf(proof);
        return _leafStatus(proof, outcomes);
    }

    function requireLeaf(LeafProof calldata proof) public view {
        Epoch storage epoch = _epochs[proof.epochId];
        if (Merkle.rootOf(proof, epoch.count) != epoch.root) {
            revert JobEscrow_LeafNotInEpoch(proof.epochId, proof.index);
        }
    }

    function held() public view returns (uint256) {
        return (_heldUnits() + _settlerBond.bondUnits) * UNIT;
    }

    function donated() external view returns (uint256) {
        uint256 balance = IERC20(TOKEN).balanceOf(address(this));
        return balance > held() ? balance - held() : 0;
    }

    // ---------------------------------------------------------------- leaves

    /// @dev The leaf must be known to be in its epoch.
    function _leafStatus(LeafProof calldata proof, Outcomes calldata outcomes)
        private
        view
        returns (LeafStatus, uint40 chargedAt)
    {
        LeafOutcome outcome = _leafOutcome(proof, outcomes);
        if (outcome == LeafOutcome.VOID) return (LeafStatus.VOID, 0);
        Leaf memory leaf = _leaves[proof.epochId][proof.index];
        chargedAt = outcome == LeafOutcome.PAID ? _epochs[proof.epochId].postedAt : leaf.paidAt;
        if (chargedAt == 0) return (leaf.closed ? LeafStatus.CLOSED : LeafStatus.UNCHARGED, 0);
        bool whole = leaf.refundedUnits != 0 && leaf.refundedUnits == proof.amountUnits;
        return (whole ? LeafStatus.REFUNDED : LeafStatus.PAID, chargedAt);
    }

    /// @dev After a partial refund the rest of the charge can still be refunded.
    function _unrefundedUnits(LeafProof calldata proof) private view returns (uint64) {
        return proof.amountUnits - _leaves[proof.epochId][proof.index].refundedUnits;
    }

    function _giveBack(LeafProof calldata proof, uint64 units) private {
        _leaves[proof.epochId][proof.index].refundedUnits += units;
        _addBalance(_lane(proof.requester, proof.signer), units);
    }

    function _leafOutcome(LeafProof calldata proof, Outcomes calldata outcomes) private view returns (LeafOutcome) {
        EpochStatus status = epochStatus(proof.epochId);
        if (status == EpochStatus.STRANDED) return LeafOutcome.ONE_BY_ONE;
        if (status != EpochStatus.SETTLED) revert JobEscrow_LeafNotFinal(proof.epochId, proof.index);

        Epoch storage epoch = _epochs[proof.epochId];
        uint256 bitmapBytes = (uint256(epoch.count) + 7) / 8;
        bool whole = outcomes.voidBits.length == bitmapBytes && outcomes.skippedBits.length == bitmapBytes;
        if (!whole || _hashOutcomes(outcomes.voidBits, outcomes.skippedBits) != epoch.outcomes) {
            revert JobEscrow_WrongOutcomes(proof.epochId);
        }
        if (PackedEpoch.isSet(outcomes.voidBits, proof.index)) return LeafOutcome.VOID;
        return PackedEpoch.isSet(outcomes.skippedBits, proof.index) ? LeafOutcome.ONE_BY_ONE : LeafOutcome.PAID;
    }

    function _takeCredit(uint32 operatorId) private returns (uint64 units) {
        // Check:
        OperatorCredit storage credit = _operators[operatorId];
        unchecked {
            units = credit.earnedUnits - credit.claimedUnits;
        }
        if (units == 0) revert JobEscrow_NothingToClaim(operatorId);

        // Effect:
        credit.claimedUnits = credit.earnedUnits;
        _totals.creditsUnits -= units;
    }
}
