// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {IJobEscrow} from "./interfaces/IJobEscrow.sol";
import {ISlashingCourt} from "./interfaces/ISlashingCourt.sol";
import {IStakeManager} from "./interfaces/IStakeManager.sol";
import {Evidence} from "./libraries/Evidence.sol";
import {TypedData} from "./libraries/TypedData.sol";
import {Commitment, LeafProof, Order, Outcomes} from "./libraries/Types.sol";

/// @notice Documented in ISlashingCourt.
contract SlashingCourt is ISlashingCourt, ReentrancyGuardTransient {
    uint8 private constant COMPARATOR_EXACT = 1;

    address public immutable ESCROW;
    address public immutable STAKE_MANAGER;
    uint256 public immutable UNIT;
    uint256 public immutable CASE_WINDOW;
    uint256 public immutable COMMIT_WINDOW;
    uint256 public immutable REVEAL_WINDOW;
    uint256 public immutable PENALTY_MULTIPLE;
    uint256 public immutable CASE_REWARD;

    mapping(bytes32 caseId => Case) private _cases;
    mapping(bytes32 caseId => uint32[] ids) private _verifiers;
    mapping(bytes32 caseId => mapping(uint32 verifierId => Vote)) private _votes;
    mapping(bytes32 caseId => mapping(bytes32 answerKey => Answer)) private _answers;
    mapping(bytes32 orderId => mapping(address node => bool)) public equivocated;

    constructor(Params memory params) {
        IJobEscrow escrow = IJobEscrow(params.escrow);
        IStakeManager stakes = IStakeManager(params.stakeManager);
        _requireWired(escrow, stakes, params.unit);

        uint256 settleWait = escrow.SETTLE_WAIT();
        uint256 longestCase = 2 * params.commitWindow + params.revealWindow;
        uint256 ruledAt = escrow.EPOCH_MAX() + escrow.CHECK_WAIT() + longestCase;
        if (settleWait <= ruledAt) revert SlashingCourt_SettleWaitTooShort(settleWait, ruledAt);
        if (params.caseWindow < settleWait) revert SlashingCourt_CaseWindowTooShort(params.caseWindow, settleWait);
        uint256 executedAt = params.caseWindow + longestCase + settleWait;
        if (stakes.UNBOND() <= executedAt) revert SlashingCourt_UnbondTooShort(stakes.UNBOND(), executedAt);

        ESCROW = params.escrow;
        STAKE_MANAGER = params.stakeManager;
        UNIT = params.unit;
        CASE_WINDOW = params.caseWindow;
        COMMIT_WINDOW = params.commitWindow;
        REVEAL_WINDOW = params.revealWindow;
        PENALTY_MULTIPLE = params.penaltyMultiple;
        CASE_REWARD = params.caseReward;
    }

    // ---------------------------------------------------------------- verifiers

    function openCase(
        LeafProof calldata proof,
        Order calldata order,
        Commitment calldata commitment,
        bytes calldata nodeSignature,
        bytes32 answerCommit
    ) external returns (bytes32 caseId) {
        // Check:
        caseId = caseIdOf(proof.epochId, proof.index);
        if (_cases[caseId].snapshotBlock != 0) revert SlashingCourt_CaseExists(caseId);
        _requireInCaseWindow(proof.epochId);
        _requireAccusable(proof, order, commitment, nodeSignature);

        // Effect, Interaction:
        Case storage file = _cases[caseId];
        uint64 penaltyUnits = _toUint64(PENALTY_MULTIPLE * order.terms.maxPrice);
        file.commitmentDigest = proof.digest;
        file.operatorId = proof.operatorId;
        file.commitEnds = uint40(block.timestamp + COMMIT_WINDOW);
        file.snapshotBlock = uint40(block.number - 1);
        file.snapshotUnits = _stakes().totalActiveStakeAt(block.number - 1);
        file.exposureUnits = penaltyUnits > CASE_REWARD ? penaltyUnits : _toUint64(CASE_REWARD);
        file.penaltyUnits = _stakes().lock(proof.operatorId, penaltyUnits);
        _emitCaseOpened(caseId, proof, file);
        _commit(caseId, answerCommit);
    }

    function commitVerdict(bytes32 caseId, bytes32 answerCommit) external {
        // Check:
        Case storage file = _requireCase(caseId);
        if (block.timestamp >= file.commitEnds) _revertOutside(0, file.commitEnds);

        // Effect, Interaction:
        _commit(caseId, answerCommit);
    }

    function reveal(bytes32 caseId, Commitment calldata commitment, bytes32 traceHash, bytes32 outputHash, uint32 units)
        external
    {
        // Check:
        Case storage file = _requireCase(caseId);
        uint256 revealEnds = file.commitEnds + REVEAL_WINDOW;
        bool within = block.timestamp >= file.commitEnds && block.timestamp < revealEnds;
        if (!within) _revertOutside(file.commitEnds, revealEnds);
        bytes32 digest = Evidence.requireCommitment(IJobEscrow(ESCROW), commitment, file.commitmentDigest);
        uint32 verifierId = _stakes().verifierOf(msg.sender);
        Vote storage vote = _votes[caseId][verifierId];
        bytes32 answerCommit = TypedData.answerCommit(traceHash, outputHash, units, digest, msg.sender);
        bool committed = vote.verifier == msg.sender && vote.answerCommit == answerCommit && vote.answerKey == 0;
        if (!committed) revert SlashingCourt_NotCommitted(caseId, msg.sender, answerCommit);

        // Effect:
        bytes32 key = TypedData.answerKey(traceHash, outputHash, units);
        bool agrees = TypedData.traceCommit(traceHash, commitment.orderId, commitment.node) == commitment.traceCommit
            && outputHash == commitment.outputHash && units == commitment.units;
        vote.answerKey = key;
        _count(caseId, file, verifierId, key, agrees);
        emit VerdictRevealed(caseId, verifierId, key, traceHash, outputHash, units, agrees);
    }

    // ---------------------------------------------------------------- the accused

    function appeal(bytes32 caseId) external {
        // Check:
        Case storage file = _requireCase(caseId);
        if (file.appealed) revert SlashingCourt_AlreadyAppealed(caseId);
        if (block.timestamp >= file.commitEnds) _revertOutside(0, file.commitEnds);
        uint32 operatorId = file.operatorId;
        bool accused = _stakes().operatorOf(msg.sender) == operatorId || _stakes().ownerOf(operatorId) == msg.sender;
        if (!accused) revert SlashingCourt_NotTheAccused(msg.sender, operatorId);

        // Effect:
        file.appealed = true;
        file.commitEnds = uint40(block.timestamp + COMMIT_WINDOW);
        emit Appealed(caseId, msg.sender, file.commitEnds);
    }

    // ---------------------------------------------------------------- anyone

    function execute(bytes32 caseId, LeafProof calldata proof, Outcomes calldata outcomes) external nonReentrant {
        // Check:
        Case storage file = _requireCase(caseId);
        Ruling result = ruling(caseId);
        if (result == Ruling.OPEN) revert SlashingCourt_StillOpen(caseId);
        if (file.executed) revert SlashingCourt_AlreadyExecuted(caseId);
        if (caseIdOf(proof.epochId, proof.index) != caseId) revert SlashingCourt_WrongLeaf(caseId);

        // Effect:
        file.executed = true;

        // Interaction:
        bytes32 upheld = result == Ruling.DISMISSED ? bytes32(0) : file.leadingAnswer;
        uint64 slashedUnits = _settleVerifiers(caseId, upheld);
        uint64 refundUnits = 0;
        if (result == Ruling.NODE_GUILTY) {
            refundUnits = IJobEscrow(ESCROW).refund(proof, outcomes, file.penaltyUnits);
            uint32[] memory rewarded = _openersOf(caseId, upheld);
            _stakes().slash(file.operatorId, file.penaltyUnits, refundUnits, rewarded, uint64(CASE_REWARD));
            slashedUnits += file.penaltyUnits;
        } else {
            _stakes().unlock(file.operatorId, file.penaltyUnits);
        }
        emit CaseExecuted(caseId, result, upheld, slashedUnits, refundUnits);
    }

    function equivocation(
        Order calldata order,
        Commitment calldata first,
        bytes calldata firstSignature,
        Commitment calldata second,
        bytes calldata secondSignature,
        uint32 rewardedId
    ) external nonReentrant {
        // Check:
        IJobEscrow escrow = IJobEscrow(ESCROW);
        bytes32 orderId = Evidence.requireOrder(escrow, order, first);
        Evidence.requireOrder(escrow, order, second);
        (bytes32 firstDigest, bytes32 secondDigest) = (escrow.hashCommitment(first), escrow.hashCommitment(second));
        bool two = firstDigest != secondDigest && first.node == second.node;
        if (!two) revert SlashingCourt_NotTwoCommitments(firstDigest, secondDigest);
        uint32 operatorId = _stakes().operatorOf(first.node);
        Evidence.requireSigned(_stakes(), firstDigest, first.node, operatorId, firstSignature);
        Evidence.requireSigned(_stakes(), secondDigest, second.node, operatorId, secondSignature);
        if (equivocated[orderId][first.node]) revert SlashingCourt_AlreadySlashed(orderId, first.node);

        // Effect, Interaction:
        equivocated[orderId][first.node] = true;
        uint64 slashedUnits = _slashAtOnce(operatorId, PENALTY_MULTIPLE * order.terms.maxPrice, rewardedId);
        emit Equivocated(orderId, first.node, operatorId, firstDigest, secondDigest, slashedUnits);
    }

    // ---------------------------------------------------------------- views

    function caseIdOf(uint64 epochId, uint32 index) public pure returns (bytes32) {
        return keccak256(abi.encode(epochId, index));
    }

    function cases(bytes32 caseId) external view returns (Case memory) {
        return _cases[caseId];
    }

    function ruling(bytes32 caseId) public view returns (Ruling) {
        Case storage file = _cases[caseId];
        bool ended = file.snapshotBlock != 0 && block.timestamp >= file.commitEnds + REVEAL_WINDOW;
        if (!ended) return Ruling.OPEN;
        Answer storage leading = _answers[caseId][file.leadingAnswer];
        if (2 * uint256(leading.stakeUnits) > file.snapshotUnits) {
            return leading.agreesWithNode ? Ruling.NODE_UPHELD : Ruling.NODE_GUILTY;
        }
        bool unopposed = !file.appealed && file.distinctAnswers == 1 && leading.openers >= 2;
        return unopposed && !leading.agreesWithNode ? Ruling.NODE_GUILTY : Ruling.DISMISSED;
    }

    function verifiersOf(bytes32 caseId) external view returns (uint32[] memory) {
        return _verifiers[caseId];
    }

    function votes(bytes32 caseId, uint32 verifierId) external view returns (Vote memory) {
        return _votes[caseId][verifierId];
    }

    function answers(bytes32 caseId, bytes32 answerKey) external view returns (Answer memory) {
        return _answers[caseId][answerKey];
    }

    // ---------------------------------------------------------------- checks

    function _requireWired(IJobEscrow escrow, IStakeManager stakes, uint256 unit) private view {
        bool named = escrow.COURT() == address(this) && stakes.COURT() == address(this)
            && escrow.STAKE_MANAGER() == address(stakes) && stakes.ESCROW() == address(escrow);
        bool sameMoney = escrow.TOKEN() == stakes.TOKEN() && escrow.UNIT() == unit && stakes.UNIT() == unit;
        if (!named || !sameMoney) revert SlashingCourt_Miswired();
    }

    function _requireCase(bytes32 caseId) private view returns (Case storage file) {
        file = _cases[caseId];
        if (file.snapshotBlock == 0) revert SlashingCourt_UnknownCase(caseId);
    }

    function _requireInCaseWindow(uint64 epochId) private view {
        uint256 closesAt = IJobEscrow(ESCROW).epochs(epochId).postedAt + CASE_WINDOW;
        if (block.timestamp > closesAt) revert SlashingCourt_CaseWindowClosed(block.timestamp, closesAt);
    }

    /// @dev The leaf was posted, it is this commitment's, its node signed it, and equality can decide it.
    function _requireAccusable(
        LeafProof calldata proof,
        Order calldata order,
        Commitment calldata commitment,
        bytes calldata nodeSignature
    ) private view {
        IJobEscrow escrow = IJobEscrow(ESCROW);
        escrow.requireLeaf(proof);
        Evidence.requireLeafOf(escrow, _stakes(), proof, order, commitment, nodeSignature);
        if (order.terms.comparator != COMPARATOR_EXACT) revert SlashingCourt_NotExact(order.terms.comparator);
    }

    function _revertOutside(uint256 opensAt, uint256 endsAt) private view {
        revert SlashingCourt_OutsideWindow(block.timestamp, opensAt, endsAt);
    }

    // ---------------------------------------------------------------- answers

    /// @dev Takes down the caller's answer, unseen, and locks what it stands for.
    function _commit(bytes32 caseId, bytes32 answerCommit) private {
        // Check:
        Case storage file = _cases[caseId];
        uint32 verifierId = _stakes().verifierOf(msg.sender);
        bool active = verifierId != 0 && _stakes().activeStakeAt(verifierId, file.snapshotBlock) > 0;
        if (!active) revert SlashingCourt_NotActiveVerifier(msg.sender);
        Vote storage vote = _votes[caseId][verifierId];
        if (vote.verifier != address(0)) revert SlashingCourt_AlreadyCommitted(caseId, verifierId);

        // Effect, Interaction:
        vote.verifier = msg.sender;
        vote.answerCommit = answerCommit;
        vote.lockedUnits = _stakes().lock(verifierId, file.exposureUnits);
        if (vote.lockedUnits == 0) revert SlashingCourt_NothingToLose(verifierId);
        _verifiers[caseId].push(verifierId);
        emit VerdictCommitted(caseId, verifierId, answerCommit);
    }

    function _count(bytes32 caseId, Case storage file, uint32 verifierId, bytes32 key, bool agrees) private {
        Answer storage answer = _answers[caseId][key];
        if (answer.openers == 0) ++file.distinctAnswers;
        ++answer.openers;
        answer.agreesWithNode = agrees;
        answer.stakeUnits += _stakes().activeStakeAt(verifierId, file.snapshotBlock);
        if (answer.stakeUnits > _answers[caseId][file.leadingAnswer].stakeUnits) file.leadingAnswer = key;
    }

    // ---------------------------------------------------------------- money

    /// @dev Slashes who opened another answer than the upheld one, and who committed and did not open; frees the rest.
    function _settleVerifiers(bytes32 caseId, bytes32 upheld) private returns (uint64 slashedUnits) {
        uint32[] memory ids = _verifiers[caseId];
        for (uint256 i = 0; i < ids.length; ++i) {
            Vote storage vote = _votes[caseId][ids[i]];
            uint64 locked = vote.lockedUnits;
            uint64 penalty = _verifierPenalty(vote.answerKey, upheld, locked);
            if (penalty > 0) _stakes().slash(ids[i], penalty, 0, new uint32[](0), 0);
            if (locked > penalty) _stakes().unlock(ids[i], locked - penalty);
            slashedUnits += penalty;
        }
    }

    function _slashAtOnce(uint32 operatorId, uint256 penaltyUnits, uint32 rewardedId) private returns (uint64 units) {
        // Check:
        uint32[] memory rewarded = new uint32[](rewardedId == 0 ? 0 : 1);
        if (rewardedId != 0) {
            bool rewardable = rewardedId != operatorId && _stakes().ownerOf(rewardedId) != address(0);
            if (!rewardable) revert SlashingCourt_NotRewardable(rewardedId);
            rewarded[0] = rewardedId;
        }

        // Effect, Interaction:
        units = _stakes().lock(operatorId, _toUint64(penaltyUnits));
        if (units == 0) revert SlashingCourt_NothingToSlash(operatorId);
        _stakes().slash(operatorId, units, 0, rewarded, uint64(CASE_REWARD));
    }

    function _verifierPenalty(bytes32 answerKey, bytes32 upheld, uint64 locked) private view returns (uint64) {
        if (answerKey == 0) return CASE_REWARD < locked ? uint64(CASE_REWARD) : locked;
        return upheld != 0 && answerKey != upheld ? locked : 0;
    }

    function _openersOf(bytes32 caseId, bytes32 answerKey) private view returns (uint32[] memory openers) {
        uint32[] memory ids = _verifiers[caseId];
        openers = new uint32[](_answers[caseId][answerKey].openers);
        uint256 found = 0;
        for (uint256 i = 0; i < ids.length; ++i) {
            if (_votes[caseId][ids[i]].answerKey == answerKey) openers[found++] = ids[i];
        }
    }

    function _emitCaseOpened(bytes32 caseId, LeafProof calldata proof, Case storage file) private {
        emit CaseOpened(
            caseId,
            proof.epochId,
            proof.index,
            proof.operatorId,
            _stakes().verifierOf(msg.sender),
            proof.digest,
            file.penaltyUnits,
            file.commitEnds
        );
    }

    function _stakes() private view returns (IStakeManager) {
        return IStakeManager(STAKE_MANAGER);
    }

    function _toUint64(uint256 value) private pure returns (uint64) {
        return value > type(uint64).max ? type(uint64).max : uint64(value);
    }
}
