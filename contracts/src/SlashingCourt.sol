// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {EscrowDomain} from "./EscrowDomain.sol";
import {IJobEscrow} from "./interfaces/IJobEscrow.sol";
import {ISlashingCourt} from "./interfaces/ISlashingCourt.sol";
import {IStakeManager} from "./interfaces/IStakeManager.sol";
import {Evidence} from "./libraries/Evidence.sol";
import {TypedData} from "./libraries/TypedData.sol";
import {Commitment, LeafProof, Order, Outcomes} from "./libraries/Types.sol";

/// @notice Documented in ISlashingCourt.
contract SlashingCourt is ISlashingCourt, EscrowDomain, ReentrancyGuardTransient {
    uint8 private constant COMPARATOR_EXACT = 1;

    address public immutable STAKE_MANAGER;
    uint256 public immutable UNIT;
    uint256 public immutable CASE_WINDOW;
    uint256 public immutable COMMIT_WINDOW;
    uint256 public immutable REVEAL_WINDOW;
    uint256 public immutable PENALTY_MULTIPLE;
    uint256 public immutable CASE_REWARD;
    uint256 private immutable MIN_VERIFIER_STAKE;

    mapping(bytes32 caseId => Case) private _cases;
    mapping(bytes32 caseId => mapping(uint32 verifierId => Vote)) private _votes;
    mapping(bytes32 caseId => mapping(bytes31 answerKey => Answer)) private _answers;
    mapping(bytes32 orderId => mapping(address node => bool)) public equivocated;

    constructor(Params memory params) EscrowDomain(params.escrow) {
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
        uint256 minVerifierStake = stakes.MIN_VERIFIER_STAKE();
        bool covered = params.caseReward <= minVerifierStake && minVerifierStake <= type(uint64).max;
        if (!covered) revert SlashingCourt_RewardAboveStake(params.caseReward, minVerifierStake);

        STAKE_MANAGER = params.stakeManager;
        UNIT = params.unit;
        CASE_WINDOW = params.caseWindow;
        COMMIT_WINDOW = params.commitWindow;
        REVEAL_WINDOW = params.revealWindow;
        PENALTY_MULTIPLE = params.penaltyMultiple;
        CASE_REWARD = params.caseReward;
        MIN_VERIFIER_STAKE = minVerifierStake;
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
        caseId = caseIdOf(proof);
        if (_cases[caseId].snapshotBlock != 0) revert SlashingCourt_CaseExists(caseId);
        _requireAccusable(proof, order, commitment, nodeSignature);

        // Effect, Interaction:
        uint64 penaltyUnits = _penaltyUnits(order);
        _stakes().lock(proof.operatorId, penaltyUnits);
        uint32 commitEnds = uint32(block.timestamp + COMMIT_WINDOW);
        Case storage file = _cases[caseId];
        (file.penaltyUnits, file.commitEnds, file.snapshotBlock) = (penaltyUnits, commitEnds, uint40(block.number));
        emit CaseOpened(
            caseId,
            proof.epochId,
            proof.index,
            proof.requester,
            proof.signer,
            proof.operatorId,
            proof.amountUnits,
            proof.digest,
            penaltyUnits,
            commitEnds
        );
        uint32 verifierId = _stakes().lockVerifier(msg.sender, _exposureUnits(penaltyUnits));
        _commit(caseId, verifierId, answerCommit);
    }

    function commitVerdict(bytes32 caseId, bytes32 answerCommit) external {
        // Check:
        Case memory file = _requireCase(caseId);
        if (block.timestamp >= file.commitEnds) _revertOutside(0, file.commitEnds);

        // Effect, Interaction:
        uint32 verifierId = _stakes().lockVerifier(msg.sender, _exposureUnits(file.penaltyUnits));
        _activeStakeAt(verifierId, file.snapshotBlock);
        _commit(caseId, verifierId, answerCommit);
    }

    function reveal(
        LeafProof calldata leaf,
        Commitment calldata commitment,
        bytes32 traceHash,
        bytes32 outputRoot,
        uint32 units
    ) external {
        // Check:
        bytes32 caseId = caseIdOf(leaf);
        Case memory file = _requireCase(caseId);
        uint256 revealEnds = file.commitEnds + REVEAL_WINDOW;
        bool within = block.timestamp >= file.commitEnds && block.timestamp < revealEnds;
        if (!within) _revertOutside(file.commitEnds, revealEnds);
        bytes32 digest = Evidence.requireCommitment(_domain(), commitment, leaf.digest);
        uint32 verifierId = _stakes().verifierOf(msg.sender);
        bytes32 answerCommit = TypedData.answerCommit(traceHash, outputRoot, units, digest, msg.sender);
        Vote memory vote = _votes[caseId][verifierId];
        bool committed = vote.state == VoteState.COMMITTED && vote.hash == bytes31(answerCommit);
        if (!committed) revert SlashingCourt_NotCommitted(caseId, msg.sender, answerCommit);

        // Effect:
        bytes32 key = TypedData.answerKey(traceHash, outputRoot, units);
        bool agrees = TypedData.traceCommit(traceHash, commitment.orderId, commitment.node) == commitment.traceCommit
            && outputRoot == commitment.outputRoot && units == commitment.units;
        _votes[caseId][verifierId] = Vote(bytes31(key), VoteState.OPENED);
        _count(caseId, file, verifierId, bytes31(key), agrees);
        emit VerdictRevealed(caseId, verifierId, key, traceHash, outputRoot, units, agrees);
    }

    // ---------------------------------------------------------------- the accused

    function appeal(LeafProof calldata leaf) external {
        // Check:
        bytes32 caseId = caseIdOf(leaf);
        Case memory file = _requireCase(caseId);
        if (file.appealed) revert SlashingCourt_AlreadyAppealed(caseId);
        if (block.timestamp >= file.commitEnds) _revertOutside(0, file.commitEnds);
        uint32 operatorId = leaf.operatorId;
        bool accused = _stakes().operatorOf(msg.sender) == operatorId || _stakes().ownerOf(operatorId) == msg.sender;
        if (!accused) revert SlashingCourt_NotTheAccused(msg.sender, operatorId);

        // Effect:
        uint32 commitEnds = uint32(block.timestamp + COMMIT_WINDOW);
        _cases[caseId].appealed = true;
        _cases[caseId].commitEnds = commitEnds;
        emit Appealed(caseId, msg.sender, commitEnds);
    }

    // ---------------------------------------------------------------- anyone

    function execute(LeafProof calldata leaf, Outcomes calldata outcomes, uint32[] calldata verifierIds)
        external
        nonReentrant
    {
        // Check:
        bytes32 caseId = caseIdOf(leaf);
        Case memory file = _requireCase(caseId);
        Ruling result = _ruling(file);
        if (result == Ruling.OPEN) revert SlashingCourt_StillOpen(caseId);
        if (file.executed) revert SlashingCourt_AlreadyExecuted(caseId);

        // Effect:
        file.executed = true;
        _cases[caseId].executed = true;

        // Interaction:
        (uint64 slashedUnits, uint64 refundUnits) = (0, 0);
        if (result == Ruling.NODE_GUILTY) {
            slashedUnits = _slashableUnits(leaf.operatorId, file.penaltyUnits);
            refundUnits = IJobEscrow(ESCROW).refund(leaf, outcomes, slashedUnits);
            uint64 share = (slashedUnits - refundUnits) / file.openers;
            file.rewardUnits = share < CASE_REWARD ? share : uint64(CASE_REWARD);
            _cases[caseId].rewardUnits = file.rewardUnits;
            _stakes().slash(leaf.operatorId, slashedUnits, refundUnits, file.rewardUnits * file.openers);
        }
        if (file.penaltyUnits > slashedUnits) _stakes().unlock(leaf.operatorId, file.penaltyUnits - slashedUnits);
        emit CaseExecuted(caseId, result, slashedUnits, refundUnits, file.rewardUnits);
        _settleVotes(caseId, file, result, verifierIds);
    }

    function settleVotes(bytes32 caseId, uint32[] calldata verifierIds) external nonReentrant {
        // Check:
        Case memory file = _requireCase(caseId);
        if (!file.executed) revert SlashingCourt_StillOpen(caseId);

        // Effect, Interaction:
        _settleVotes(caseId, file, _ruling(file), verifierIds);
    }

    function equivocation(
        Order calldata order,
        bytes32 orderR,
        bytes32 orderVs,
        Commitment calldata first,
        bytes calldata firstSignature,
        Commitment calldata second,
        bytes calldata secondSignature
    ) external nonReentrant {
        // Check:
        bytes32 domain = _domain();
        bytes32 orderId = Evidence.requireOrder(domain, order, first);
        Evidence.requireOrder(domain, order, second);
        _requireOrdered(order.requester, orderId, orderR, orderVs);
        (bytes32 firstDigest, bytes32 secondDigest) =
            (Evidence.digestOf(domain, first), Evidence.digestOf(domain, second));
        bool two = firstDigest != secondDigest && first.node == second.node;
        if (!two) revert SlashingCourt_NotTwoCommitments(firstDigest, secondDigest);
        uint32 operatorId = _stakes().nodeKeys(first.node).operatorId;
        Evidence.requireSigned(_stakes(), firstDigest, first.node, operatorId, firstSignature);
        uint256 revokedAt = Evidence.requireSigned(_stakes(), secondDigest, second.node, operatorId, secondSignature);
        if (revokedAt != 0) revert Evidence.Evidence_KeyRevoked(first.node, revokedAt);
        if (equivocated[orderId][first.node]) revert SlashingCourt_AlreadySlashed(orderId, first.node);

        // Effect, Interaction:
        equivocated[orderId][first.node] = true;
        uint64 slashedUnits = _slashAtOnce(operatorId, _penaltyUnits(order));
        emit Equivocated(orderId, first.node, operatorId, firstDigest, secondDigest, slashedUnits);
    }

    // ---------------------------------------------------------------- views

    function caseIdOf(LeafProof calldata leaf) public pure returns (bytes32) {
        return keccak256(
            abi.encode(
                leaf.epochId, leaf.index, leaf.requester, leaf.signer, leaf.operatorId, leaf.amountUnits, leaf.digest
            )
        );
    }

    function cases(bytes32 caseId) external view returns (Case memory) {
        return _cases[caseId];
    }

    function ruling(bytes32 caseId) external view returns (Ruling) {
        return _ruling(_cases[caseId]);
    }

    function votes(bytes32 caseId, uint32 verifierId) external view returns (Vote memory) {
        return _votes[caseId][verifierId];
    }

    function answers(bytes32 caseId, bytes32 answerKey) external view returns (Answer memory) {
        return _answers[caseId][bytes31(answerKey)];
    }

    // ---------------------------------------------------------------- checks

    function _requireWired(IJobEscrow escrow, IStakeManager stakes, uint256 unit) private view {
        bool named = escrow.COURT() == address(this) && stakes.COURT() == address(this)
            && escrow.STAKE_MANAGER() == address(stakes) && stakes.ESCROW() == address(escrow);
        bool sameMoney = escrow.TOKEN() == stakes.TOKEN() && escrow.UNIT() == unit && stakes.UNIT() == unit;
        if (!named || !sameMoney) revert SlashingCourt_Miswired();
    }

    function _requireCase(bytes32 caseId) private view returns (Case memory file) {
        file = _cases[caseId];
        if (file.snapshotBlock == 0) revert SlashingCourt_UnknownCase(caseId);
    }

    /// @dev Reverts unless the leaf is recent, this commitment's, signed by its node, and decidable by equality.
    function _requireAccusable(
        LeafProof calldata proof,
        Order calldata order,
        Commitment calldata commitment,
        bytes calldata nodeSignature
    ) private view {
        uint256 postedAt = Evidence.requirePosted(IJobEscrow(ESCROW), proof);
        uint256 closesAt = postedAt + CASE_WINDOW;
        if (block.timestamp > closesAt) revert SlashingCourt_CaseWindowClosed(block.timestamp, closesAt);
        Evidence.requireLeafOf(_domain(), proof, order, commitment);
        Evidence.requireSignedInTime(_stakes(), IJobEscrow(ESCROW), proof, commitment.node, nodeSignature, postedAt);
        if (order.terms.comparator != COMPARATOR_EXACT) revert SlashingCourt_NotExact(order.terms.comparator);
    }

    /// @dev Reverts unless the requester's own key, or that of a lane it opened, signed the order.
    function _requireOrdered(address requester, bytes32 orderId, bytes32 r, bytes32 vs) private view {
        (address signer, ECDSA.RecoverError failure,) = ECDSA.tryRecover(orderId, r, vs);
        bool ordered = failure == ECDSA.RecoverError.NoError
            && (signer == requester || IJobEscrow(ESCROW).lanes(requester, signer).expiry != 0);
        if (!ordered) revert SlashingCourt_NotOrdered(requester, signer);
    }

    function _revertOutside(uint256 opensAt, uint256 endsAt) private view {
        revert SlashingCourt_OutsideWindow(block.timestamp, opensAt, endsAt);
    }

    /// @dev Reads the case alone: `_count` has counted each answer as it was opened.
    function _ruling(Case memory file) private view returns (Ruling) {
        bool ended = file.snapshotBlock != 0 && block.timestamp >= file.commitEnds + REVEAL_WINDOW;
        if (!ended) return Ruling.OPEN;
        if (file.majority) return file.agreesWithNode ? Ruling.NODE_UPHELD : Ruling.NODE_GUILTY;
        bool unopposed = !file.appealed && !file.opposed && file.openers >= 2;
        return unopposed && !file.agreesWithNode ? Ruling.NODE_GUILTY : Ruling.DISMISSED;
    }

    // ---------------------------------------------------------------- answers

    /// @dev Stores an answer's hash. The verifier's exposure is locked already.
    function _commit(bytes32 caseId, uint32 verifierId, bytes32 answerCommit) private {
        if (_votes[caseId][verifierId].state != VoteState.NONE) {
            revert SlashingCourt_AlreadyCommitted(caseId, verifierId);
        }
        _votes[caseId][verifierId] = Vote(bytes31(answerCommit), VoteState.COMMITTED);
        emit VerdictCommitted(caseId, verifierId, answerCommit);
    }

    function _count(bytes32 caseId, Case memory file, uint32 verifierId, bytes31 key, bool agrees) private {
        uint64 stakeUnits = _activeStakeAt(verifierId, file.snapshotBlock);
        uint256 totalUnits = _stakes().totalActiveStakeAt(file.snapshotBlock);
        Answer memory answer = _answers[caseId][key];
        if (answer.openers == 0 && file.openers != 0) file.opposed = true;
        answer.stakeUnits += stakeUnits;
        ++answer.openers;
        answer.majority = 2 * uint256(answer.stakeUnits) > totalUnits;
        if (answer.majority || !file.opposed) {
            (file.majority, file.openers, file.agreesWithNode) = (answer.majority, answer.openers, agrees);
        }
        _answers[caseId][key] = answer;
        _cases[caseId] = file;
    }

    function _activeStakeAt(uint32 verifierId, uint256 blockNumber) private view returns (uint64 units) {
        units = _stakes().activeStakeAt(verifierId, blockNumber);
        if (units == 0) revert SlashingCourt_NotInSnapshot(verifierId, blockNumber);
    }

    // ---------------------------------------------------------------- money

    /// @dev Slashes verifiers that committed and did not open the upheld answer: silence costs as much as another
    /// answer, and CASE_REWARD where none is upheld. Rewards those that opened it against the node and frees the rest
    /// of what was locked. Skips who did not vote or was settled before.
    function _settleVotes(bytes32 caseId, Case memory file, Ruling result, uint32[] calldata verifierIds) private {
        uint64 exposureUnits = _exposureUnits(file.penaltyUnits);
        for (uint256 i = 0; i < verifierIds.length; ++i) {
            uint32 id = verifierIds[i];
            Vote memory vote = _votes[caseId][id];
            if (vote.state == VoteState.NONE) continue;
            delete _votes[caseId][id];
            bool upheld = vote.state == VoteState.OPENED && (!file.majority || _answers[caseId][vote.hash].majority);
            uint64 penaltyUnits = 0;
            if (result != Ruling.DISMISSED && !upheld) penaltyUnits = exposureUnits;
            else if (vote.state == VoteState.COMMITTED) penaltyUnits = uint64(CASE_REWARD);
            uint64 rewardUnits = upheld ? file.rewardUnits : 0;
            emit VoteSettled(caseId, id, penaltyUnits, rewardUnits);
            if (penaltyUnits > 0) _stakes().slash(id, penaltyUnits, 0, 0);
            if (exposureUnits > penaltyUnits) _stakes().unlock(id, exposureUnits - penaltyUnits);
            if (rewardUnits > 0) _stakes().reward(id, rewardUnits);
        }
    }

    /// @dev Rewards nobody: the order may be the operator's own, and a reward would let it take its stake out.
    function _slashAtOnce(uint32 operatorId, uint64 penaltyUnits) private returns (uint64 units) {
        units = _slashableUnits(operatorId, penaltyUnits);
        if (units == 0) revert SlashingCourt_NothingToSlash(operatorId);
        _stakes().lock(operatorId, units);
        _stakes().slash(operatorId, units, 0, 0);
    }

    /// @dev As much of a penalty as the operator has now, whatever other cases lock: the first executed takes first.
    function _slashableUnits(uint32 operatorId, uint64 penaltyUnits) private view returns (uint64) {
        uint64 thereUnits = _stakes().slashableOf(operatorId);
        return penaltyUnits < thereUnits ? penaltyUnits : thereUnits;
    }

    function _penaltyUnits(Order calldata order) private view returns (uint64) {
        uint256 units = PENALTY_MULTIPLE * order.terms.maxPrice;
        return units > type(uint64).max ? type(uint64).max : uint64(units);
    }

    /// @dev What a wrong answer costs its verifier: the node's penalty, within CASE_REWARD and MIN_VERIFIER_STAKE.
    function _exposureUnits(uint64 penaltyUnits) private view returns (uint64) {
        if (penaltyUnits < CASE_REWARD) return uint64(CASE_REWARD);
        return penaltyUnits < MIN_VERIFIER_STAKE ? penaltyUnits : uint64(MIN_VERIFIER_STAKE);
    }

    function _stakes() private view returns (IStakeManager) {
        return IStakeManager(STAKE_MANAGER);
    }
}
