// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Commitment, LeafProof, Order, Outcomes} from "../libraries/Types.sol";

/// @title Decides by verifiers' stake whether a node's answer was wrong (SPEC section 8)
/// @notice Anyone can read a case. All answers are committed before any is opened; abstaining is neutral. The ruling
/// follows from the opened answers and the time; `execute` moves the money.
interface ISlashingCourt {
    struct Params {
        address escrow;
        address stakeManager;
        uint256 unit;
        uint256 caseWindow;
        uint256 commitWindow;
        uint256 revealWindow;
        uint256 penaltyMultiple;
        uint256 caseReward;
    }

    enum Ruling {
        OPEN,
        DISMISSED,
        NODE_UPHELD,
        NODE_GUILTY
    }

    enum VoteState {
        NONE,
        COMMITTED,
        OPENED
    }

    /// @dev One slot. The case's id is a hash of its leaf, which names the operator and the digest.
    /// @param penaltyUnits what a guilty operator loses, at most what it has when the case is executed
    /// @param rewardUnits for each opener of the upheld answer against the node; 0 until executed
    /// @param snapshotBlock verifiers' stakes count as they are at the end of this block
    /// @param openers of the answer with a majority, else of the first one while no other was opened
    /// @param opposed an answer other than the first was opened
    /// @param majority more than half of the snapshot's stake opened one answer
    /// @param agreesWithNode that answer, or else the first, is the node's
    struct Case {
        uint64 penaltyUnits;
        uint64 rewardUnits;
        uint40 snapshotBlock;
        uint32 commitEnds;
        uint16 openers;
        bool appealed;
        bool opposed;
        bool majority;
        bool agreesWithNode;
        bool executed;
    }

    /// @dev One slot, deleted when settled.
    /// @param hash first 31 bytes of the answer's commit, or of its key once opened
    struct Vote {
        bytes31 hash;
        VoteState state;
    }

    /// @param stakeUnits of its openers, in the snapshot
    /// @param majority that is more than half of the snapshot's stake
    struct Answer {
        uint64 stakeUnits;
        uint16 openers;
        bool majority;
    }

    // ---------------------------------------------------------------- events

    /// @notice Carries the whole leaf, so that anyone can name it. The `VerdictCommitted` right after it names the
    /// opener.
    event CaseOpened(
        bytes32 indexed caseId,
        uint64 indexed epochId,
        uint32 index,
        address requester,
        address signer,
        uint32 indexed operatorId,
        uint64 amountUnits,
        bytes32 commitmentDigest,
        uint64 penaltyUnits,
        uint40 commitEnds
    );
    event Appealed(bytes32 indexed caseId, address by, uint40 commitEnds);
    event VerdictCommitted(bytes32 indexed caseId, uint32 indexed verifierId, bytes32 answerCommit);
    event VerdictRevealed(
        bytes32 indexed caseId,
        uint32 indexed verifierId,
        bytes32 answerKey,
        bytes32 traceHash,
        bytes32 outputRoot,
        uint32 units,
        bool agreesWithNode
    );
    event CaseExecuted(
        bytes32 indexed caseId, Ruling ruling, uint64 slashedUnits, uint64 refundUnits, uint64 rewardUnits
    );
    event VoteSettled(bytes32 indexed caseId, uint32 indexed verifierId, uint64 penaltyUnits, uint64 rewardUnits);
    event Equivocated(
        bytes32 indexed orderId,
        address indexed node,
        uint32 indexed operatorId,
        bytes32 firstDigest,
        bytes32 secondDigest,
        uint64 slashedUnits
    );

    // ---------------------------------------------------------------- errors

    /// @notice Thrown when the three contracts do not name each other, or differ in unit or token.
    error SlashingCourt_Miswired();
    /// @notice Thrown when not SETTLE_WAIT > EPOCH_MAX + CHECK_WAIT + 2 * COMMIT_WINDOW + REVEAL_WINDOW.
    error SlashingCourt_SettleWaitTooShort(uint256 settleWait, uint256 mustExceed);
    /// @notice Thrown when not CASE_WINDOW >= SETTLE_WAIT.
    error SlashingCourt_CaseWindowTooShort(uint256 caseWindow, uint256 settleWait);
    /// @notice Thrown when not UNBOND > CASE_WINDOW + 2 * COMMIT_WINDOW + REVEAL_WINDOW + SETTLE_WAIT.
    error SlashingCourt_UnbondTooShort(uint256 unbond, uint256 mustExceed);
    /// @notice Thrown when CASE_REWARD exceeds MIN_VERIFIER_STAKE, or that exceeds 64 bits.
    error SlashingCourt_RewardAboveStake(uint256 caseReward, uint256 minVerifierStake);
    error SlashingCourt_NotInSnapshot(uint32 verifierId, uint256 blockNumber);
    error SlashingCourt_CaseExists(bytes32 caseId);
    error SlashingCourt_UnknownCase(bytes32 caseId);
    error SlashingCourt_CaseWindowClosed(uint256 time, uint256 closedAt);
    /// @notice Thrown when an order's comparator is not exact: verifiers can only vote on equality.
    error SlashingCourt_NotExact(uint8 comparator);
    error SlashingCourt_OutsideWindow(uint256 time, uint256 opensAt, uint256 endsAt);
    error SlashingCourt_AlreadyCommitted(bytes32 caseId, uint32 verifierId);
    /// @notice Thrown when neither a key of the node's operator nor its owner appeals.
    error SlashingCourt_NotTheAccused(address caller, uint32 operatorId);
    error SlashingCourt_AlreadyAppealed(bytes32 caseId);
    /// @notice Thrown when the caller did not commit this answer, or opened it before.
    error SlashingCourt_NotCommitted(bytes32 caseId, address caller, bytes32 answerCommit);
    error SlashingCourt_StillOpen(bytes32 caseId);
    error SlashingCourt_AlreadyExecuted(bytes32 caseId);
    /// @notice Thrown when the commitments are equal, or of different nodes.
    error SlashingCourt_NotTwoCommitments(bytes32 firstDigest, bytes32 secondDigest);
    /// @notice Thrown when neither the requester nor the key of a lane that it opened signed the order.
    error SlashingCourt_NotOrdered(address requester, address signer);
    /// @notice Thrown when the node was slashed for this order before.
    error SlashingCourt_AlreadySlashed(bytes32 orderId, address node);
    /// @notice Thrown when the operator has no stake left to slash.
    error SlashingCourt_NothingToSlash(uint32 operatorId);

    // ---------------------------------------------------------------- verifiers

    /// @notice Opens a case on a leaf and commits the caller's answer to it.
    /// @param answerCommit keccak256(traceHash ‖ outputRoot ‖ units ‖ commitmentDigest ‖ caller)
    function openCase(
        LeafProof calldata proof,
        Order calldata order,
        Commitment calldata commitment,
        bytes calldata nodeSignature,
        bytes32 answerCommit
    ) external returns (bytes32 caseId);

    /// @notice Commits the calling verifier's answer, once.
    function commitVerdict(bytes32 caseId, bytes32 answerCommit) external;

    /// @notice Opens the caller's answer.
    /// @param leaf of the case; here and below its siblings are not read and may be left out
    /// @param commitment of the case, which the answer is compared with
    function reveal(
        LeafProof calldata leaf,
        Commitment calldata commitment,
        bytes32 traceHash,
        bytes32 outputRoot,
        uint32 units
    ) external;

    // ---------------------------------------------------------------- the accused

    /// @notice Asks for a majority: restarts the commit window, once. A key of the node's operator or its owner may.
    function appeal(LeafProof calldata leaf) external;

    // ---------------------------------------------------------------- anyone

    /// @notice Moves the money as ruled, once. A guilty ruling waits until the leaf is final.
    /// @param verifierIds verifiers whose votes are settled, too
    function execute(LeafProof calldata leaf, Outcomes calldata outcomes, uint32[] calldata verifierIds) external;

    /// @notice Slashes, rewards and frees these verifiers of an executed case; skips those without an unsettled vote.
    function settleVotes(bytes32 caseId, uint32[] calldata verifierIds) external;

    /// @notice Slashes a node that signed two commitments to one order, at once: no verdict is needed. Takes
    /// min(PENALTY_MULTIPLE * maxPrice, what is staked or unbonding), once per order and node, and rewards nobody. A
    /// revoked key's signature does not count.
    /// @param orderR with `orderVs` the EIP-2098 signature of the order by its requester, or by the key of a lane it
    /// opened
    function equivocation(
        Order calldata order,
        bytes32 orderR,
        bytes32 orderVs,
        Commitment calldata first,
        bytes calldata firstSignature,
        Commitment calldata second,
        bytes calldata secondSignature
    ) external;

    // ---------------------------------------------------------------- views

    /// @notice The id that a case on this leaf has or would have.
    function caseIdOf(LeafProof calldata leaf) external pure returns (bytes32);
    function cases(bytes32 caseId) external view returns (Case memory);
    /// @notice OPEN until the reveal window has ended, and for a case that does not exist.
    function ruling(bytes32 caseId) external view returns (Ruling);
    function votes(bytes32 caseId, uint32 verifierId) external view returns (Vote memory);
    function answers(bytes32 caseId, bytes32 answerKey) external view returns (Answer memory);
    function equivocated(bytes32 orderId, address node) external view returns (bool);

    function STAKE_MANAGER() external view returns (address);
    function UNIT() external view returns (uint256);
    function CASE_WINDOW() external view returns (uint256);
    function COMMIT_WINDOW() external view returns (uint256);
    function REVEAL_WINDOW() external view returns (uint256);
    function PENALTY_MULTIPLE() external view returns (uint256);
    function CASE_REWARD() external view returns (uint256);
}
