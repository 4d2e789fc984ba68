// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {EscrowDomain} from "./EscrowDomain.sol";
import {IContests} from "./interfaces/IContests.sol";
import {IJobEscrow} from "./interfaces/IJobEscrow.sol";
import {IStakeManager} from "./interfaces/IStakeManager.sol";
import {Evidence} from "./libraries/Evidence.sol";
import {PackedWords} from "./libraries/PackedWords.sol";
import {TypedData} from "./libraries/TypedData.sol";
import {Commitment, LeafProof, LeafStatus, Order, Outcomes, Terms, Verdict} from "./libraries/Types.sol";
import {UnitToken} from "./libraries/UnitToken.sol";

/// @notice Documented in IContests.
contract Contests is IContests, EscrowDomain, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;
    using UnitToken for IERC20;

    uint8 private constant RESTRICTED = 1;

    address public immutable TOKEN;
    address public immutable STAKE_MANAGER;
    address private immutable TREASURY;
    uint256 public immutable UNIT;
    uint256 public immutable CONTEST_WINDOW;
    uint256 public immutable ANSWER_WINDOW;
    uint256 public immutable RESOLVE_WINDOW;
    uint64 public immutable CONTEST_BOND;

    uint64 public openContests;
    mapping(uint64 epochId => mapping(uint32 index => Contest)) private _contests;

    constructor(Params memory params) EscrowDomain(params.escrow) {
        IJobEscrow escrow = IJobEscrow(params.escrow);
        _requireWired(escrow, params);
        if (params.contestWindow <= escrow.SETTLE_WAIT()) {
            revert Contests_ContestWindowTooShort(params.contestWindow, escrow.SETTLE_WAIT());
        }
        // Whatever may still be refunded was charged within one charge window, so the settler's bond covers it.
        uint256 longestContest = params.contestWindow + params.answerWindow + params.resolveWindow;
        if (escrow.CHARGE_WINDOW() < longestContest) {
            revert Contests_ChargeWindowTooShort(escrow.CHARGE_WINDOW(), longestContest);
        }

        TOKEN = params.token;
        STAKE_MANAGER = params.stakeManager;
        TREASURY = escrow.TREASURY();
        UNIT = params.unit;
        CONTEST_WINDOW = params.contestWindow;
        ANSWER_WINDOW = params.answerWindow;
        RESOLVE_WINDOW = params.resolveWindow;
        CONTEST_BOND = uint64(params.contestBond);
    }

    // ---------------------------------------------------------------- anyone

    function contest(LeafProof calldata proof, Outcomes calldata outcomes) external nonReentrant {
        // Check:
        uint256 endsAt = _chargedAt(proof, outcomes) + CONTEST_WINDOW;
        if (block.timestamp >= endsAt) revert Contests_TooLate(block.timestamp, endsAt);
        Contest storage contest_ = _contests[proof.epochId][proof.index];
        bool lapsed = contest_.closedAs == ContestStatus.LAPSED;
        if (contest_.contestedAt != 0 && !lapsed) revert Contests_AlreadyContested(proof.epochId, proof.index);

        // Effect:
        _contests[proof.epochId][proof.index] = Contest(msg.sender, uint40(block.timestamp), ContestStatus.NONE);
        ++openContests;
        uint40 answerEnds = uint40(block.timestamp + ANSWER_WINDOW);
        emit Contested(proof.epochId, proof.index, msg.sender, answerEnds, CONTEST_BOND);

        // Interaction:
        IERC20(TOKEN).pull(UNIT, msg.sender, CONTEST_BOND);
    }

    function answer(
        LeafProof calldata proof,
        Order calldata order,
        bytes32 orderR,
        bytes32 orderVs,
        Commitment calldata commitment,
        bytes calldata nodeSignature,
        bytes calldata output
    ) external nonReentrant {
        // Check:
        _requireStatus(proof.epochId, proof.index, ContestStatus.OPEN);
        uint256 postedAt = Evidence.requirePosted(IJobEscrow(ESCROW), proof);
        bytes32 orderId = Evidence.requireLeafOf(_domain(), proof, order, commitment);
        Evidence.requireSignedInTime(
            IStakeManager(STAKE_MANAGER), IJobEscrow(ESCROW), proof, commitment.node, nodeSignature, postedAt
        );
        _requireSigned(proof.signer, orderId, orderR, orderVs);
        _requireCharged(proof.amountUnits, order.terms, commitment.units, postedAt);
        bool shown = _mustShowOutput(proof, order.terms.visibility);
        if (shown) {
            bytes32 outputRoot = PackedWords.rootOf(output);
            if (outputRoot != commitment.outputRoot) revert Contests_WrongOutput(outputRoot, commitment.outputRoot);
        }

        // Effect:
        _close(proof.epochId, proof.index, ContestStatus.ANSWERED);
        emit Answered(proof.epochId, proof.index, msg.sender, commitment.outputRoot, CONTEST_BOND);
        // A direct call shows the output in its transaction; one through a contract, or an account with code, need not.
        bool direct = msg.sender == tx.origin && msg.sender.code.length == 0;
        if (shown && !direct) emit Delivered(proof.epochId, proof.index, output);

        // Interaction:
        IERC20(TOKEN).push(UNIT, msg.sender, CONTEST_BOND);
    }

    function resolve(LeafProof calldata proof, Outcomes calldata outcomes) external nonReentrant {
        // Check:
        _requireStatus(proof.epochId, proof.index, ContestStatus.UNANSWERED);

        // Effect:
        address contester = _close(proof.epochId, proof.index, ContestStatus.REFUNDED);

        // Interaction: the bond first. A transfer starved of gas leaves too little for the refund, so all reverts
        bool returned = IERC20(TOKEN).trySafeTransfer(contester, CONTEST_BOND * UNIT);
        uint64 refundUnits = IJobEscrow(ESCROW).refundFromBond(proof, outcomes);
        emit ContestResolved(proof.epochId, proof.index, contester, refundUnits, returned ? CONTEST_BOND : 0);
    }

    function lapse(uint64 epochId, uint32 index) external nonReentrant {
        // Check:
        _requireStatus(epochId, index, ContestStatus.OVERDUE);

        // Effect:
        address contester = _close(epochId, index, ContestStatus.LAPSED);
        emit ContestLapsed(epochId, index, contester, CONTEST_BOND);

        // Interaction:
        IERC20(TOKEN).push(UNIT, contester, CONTEST_BOND);
    }

    function contestDuplicate(
        Order calldata order,
        LeafProof[] calldata proofs,
        Outcomes[] calldata outcomes,
        Commitment[] calldata commitments
    ) external nonReentrant {
        // Check:
        uint256 needed = uint256(order.terms.copies) + 1;
        bool complete = proofs.length == needed && outcomes.length == needed && commitments.length == needed;
        if (!complete) revert Contests_WrongNumberOfLeaves(proofs.length, needed);
        bytes32 domain = _domain();
        uint256 latest = 0;
        uint256 latestAt = 0;
        for (uint256 i = 0; i < needed; ++i) {
            if (i > 0) _requireAscending(proofs[i - 1], proofs[i]);
            Evidence.requireCommitment(domain, commitments[i], proofs[i].digest);
            Evidence.requireOrder(domain, order, commitments[i]);
            uint256 chargedAt = _chargedAt(proofs[i], outcomes[i]);
            if (chargedAt >= latestAt) (latest, latestAt) = (i, chargedAt);
        }
        uint256 endsAt = latestAt + CONTEST_WINDOW;
        if (block.timestamp >= endsAt) revert Contests_TooLate(block.timestamp, endsAt);

        // Interaction:
        uint64 refundUnits = IJobEscrow(ESCROW).refundFromBond(proofs[latest], outcomes[latest]);
        bytes32 orderId = commitments[latest].orderId;
        emit DuplicateRefunded(proofs[latest].epochId, proofs[latest].index, orderId, refundUnits);
    }

    // ---------------------------------------------------------------- views

    function contests(uint64 epochId, uint32 index) external view returns (Contest memory) {
        return _contests[epochId][index];
    }

    function contestStatus(uint64 epochId, uint32 index) public view returns (ContestStatus) {
        Contest storage contest_ = _contests[epochId][index];
        if (contest_.closedAs != ContestStatus.NONE) return contest_.closedAs;
        if (contest_.contestedAt == 0) return ContestStatus.NONE;
        uint256 answerEnds = contest_.contestedAt + ANSWER_WINDOW;
        if (block.timestamp < answerEnds) return ContestStatus.OPEN;
        return block.timestamp < answerEnds + RESOLVE_WINDOW ? ContestStatus.UNANSWERED : ContestStatus.OVERDUE;
    }

    function hashTerms(Terms calldata terms) external pure returns (bytes32) {
        return TypedData.hashTerms(terms);
    }

    function hashOrder(Order calldata order) external view returns (bytes32) {
        return _digest(TypedData.hashOrder(order));
    }

    function hashCommitment(Commitment calldata commitment) external view returns (bytes32) {
        return _digest(TypedData.hashCommitment(commitment));
    }

    function hashVerdict(Verdict calldata verdict) external view returns (bytes32) {
        return _digest(TypedData.hashVerdict(verdict));
    }

    function held() public view returns (uint256) {
        return uint256(openContests) * CONTEST_BOND * UNIT;
    }

    function donated() external view returns (uint256) {
        uint256 balance = IERC20(TOKEN).balanceOf(address(this));
        return balance > held() ? balance - held() : 0;
    }

    // ---------------------------------------------------------------- private

    function _requireWired(IJobEscrow escrow, Params memory params) private view {
        IStakeManager stakes = IStakeManager(params.stakeManager);
        bool named = escrow.CONTESTS() == address(this) && escrow.STAKE_MANAGER() == params.stakeManager
            && stakes.ESCROW() == params.escrow;
        bool sameMoney = escrow.TOKEN() == params.token && escrow.UNIT() == params.unit;
        if (!named || !sameMoney || params.contestBond > type(uint64).max) revert Contests_Miswired();
    }

    function _requireStatus(uint64 epochId, uint32 index, ContestStatus needed) private view {
        ContestStatus status = contestStatus(epochId, index);
        if (status != needed) revert Contests_WrongStatus(status, needed);
    }

    /// @dev When a leaf was charged. Reverts unless it was, from a lane whose charges can be contested.
    function _chargedAt(LeafProof calldata proof, Outcomes calldata outcomes) private view returns (uint256) {
        (LeafStatus status, uint40 chargedAt) = IJobEscrow(ESCROW).leafStatus(proof, outcomes);
        if (status != LeafStatus.PAID) revert Contests_NotCharged(proof.epochId, proof.index, status);
        if (proof.requester == TREASURY) revert Contests_TreasuryLane(proof.epochId, proof.index);
        return chargedAt;
    }

    function _requireSigned(address signer, bytes32 orderId, bytes32 r, bytes32 vs) private pure {
        (address recovered, ECDSA.RecoverError failure,) = ECDSA.tryRecover(orderId, r, vs);
        bool signed = failure == ECDSA.RecoverError.NoError && recovered == signer;
        if (!signed) revert Contests_NotSignedBySigner(recovered, signer);
    }

    /// @dev Reverts unless the charge is the ordered price and was posted in time.
    function _requireCharged(uint64 amountUnits, Terms calldata terms, uint32 units, uint256 postedAt) private view {
        uint256 expected = Evidence.chargeOf(terms, units);
        if (amountUnits != expected) revert Contests_WrongAmount(amountUnits, expected);
        uint256 latest = terms.deadline + IJobEscrow(ESCROW).EPOCH_MAX();
        if (postedAt > latest) revert Contests_PastDeadline(postedAt, latest);
    }

    function _mustShowOutput(LeafProof calldata proof, uint8 visibility) private view returns (bool) {
        address contester = _contests[proof.epochId][proof.index].contester;
        return visibility != RESTRICTED || contester == proof.requester || contester == proof.signer;
    }

    function _requireAscending(LeafProof calldata before, LeafProof calldata next) private pure {
        bool ascending = next.epochId > before.epochId || (next.epochId == before.epochId && next.index > before.index);
        if (!ascending) revert Contests_NotAscending(next.epochId, next.index);
    }

    function _digest(bytes32 structHash) private view returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(_domain(), structHash);
    }

    function _close(uint64 epochId, uint32 index, ContestStatus closedAs) private returns (address contester) {
        Contest storage contest_ = _contests[epochId][index];
        contest_.closedAs = closedAs;
        --openContests;
        return contest_.contester;
    }
}
