// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Commitment, LeafProof, Order, Outcomes} from "../libraries/Types.sol";

/// @title Decides by verifiers' stake whether a node's answer was wrong (SPEC section 8)
/// @notice A case is a file that anyone can read. All answers are committed before any is opened; abstaining is neutral.
/// The ruling is derived from what was opened and the time; `execute` moves the money.
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

    /// @dev One slot. Which leaf it is about, its operator and its digest are in the case's id.
    /// @param penaltyUnits what the operator loses if it is guilty, as far as it is there when the case is executed
    /// @param rewardUnits for each who opened the upheld answer against the node; known when executed
    /// @param snapshotBlock at whose end verifiers' stakes count
    /// @param openers of the answer that a majority opened, or else of the first one while no other was opened
    /// @param opposed whether another answer than the first was opened
    /// @param majority whether more than half of the snapshot's stake opened one answer
    /// @param agreesWithNode whether that answer, or else the first, is the node's
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

    /// @dev One slot. Gone when settled.
    /// @param hash the answer's commit, or, opened, its key; of either the first 31 bytes
    struct Vote {
        bytes31 hash;
        VoteState state;
    }

    /// @param openers how many verifiers opened this answer
    /// @param majority whether they are more than half of the snapshot's stake
    struct Answer {
        uint64 stakeUnits;
        uint16 openers;
        bool majority;
    }

    // ---------------------------------------------------------------- events

    /// @notice Carries the leaf whole, so that whoever is concerned can name it. Its opener: the `VerdictCommitted` next.
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

    /// @notice Thrown when the constants would have a verifier lose, or stand for, more than it must have staked.
    error SlashingCourt_RewardAboveStake(uint256 caseReward, uint256 minVerifierStake);

    /// @notice Thrown when a verifier was not active in a case's snapshot.
    error SlashingCourt_NotInSnapshot(uint32 verifierId, uint256 blockNumber);

    /// @notice Thrown when a leaf has a case already.
    error SlashingCourt_CaseExists(bytes32 caseId);

    /// @notice Thrown when there is no such case.
    error SlashingCourt_UnknownCase(bytes32 caseId);

    /// @notice Thrown when a leaf is too old for a case.
    error SlashingCourt_CaseWindowClosed(uint256 time, uint256 closedAt);

    /// @notice Thrown when an order's comparator is not exact: equality is all that stake can decide.
    error SlashingCourt_NotExact(uint8 comparator);

    /// @notice Thrown when something is done outside its window.
    error SlashingCourt_OutsideWindow(uint256 time, uint256 opensAt, uint256 endsAt);

    /// @notice Thrown when a verifier commits twice.
    error SlashingCourt_AlreadyCommitted(bytes32 caseId, uint32 verifierId);

    /// @notice Thrown when an appeal comes from somebody else than the node or its owner.
    error SlashingCourt_NotTheAccused(address caller, uint32 operatorId);

    /// @notice Thrown when a case is appealed twice.
    error SlashingCourt_AlreadyAppealed(bytes32 caseId);

    /// @notice Thrown when an answer was not committed by the caller, or was opened before.
    error SlashingCourt_NotCommitted(bytes32 caseId, address caller, bytes32 answerCommit);

    /// @notice Thrown when a case is executed before there is a ruling.
    error SlashingCourt_StillOpen(bytes32 caseId);

    /// @notice Thrown when a case is executed twice.
    error SlashingCourt_AlreadyExecuted(bytes32 caseId);

    /// @notice Thrown when two commitments are one, or of two nodes.
    error SlashingCourt_NotTwoCommitments(bytes32 firstDigest, bytes32 secondDigest);

    /// @notice Thrown when an order is signed neither by its requester nor by the key of a lane that the requester opened.
    error SlashingCourt_NotOrdered(address requester, address signer);

    /// @notice Thrown when a node was slashed for its two answers to an order before.
    error SlashingCourt_AlreadySlashed(bytes32 orderId, address node);

    /// @notice Thrown when an operator has no stake that an equivocation could be slashed of.
    error SlashingCourt_NothingToSlash(uint32 operatorId);

    // ---------------------------------------------------------------- verifiers

    /// @notice Opens a case on a leaf and commits the caller's answer to it.
    /// @param nodeSignature of the commitment, by its node
    /// @param answerCommit keccak256(traceHash ‖ outputRoot ‖ units ‖ commitmentDigest ‖ caller)
    function openCase(
        LeafProof calldata proof,
        Order calldata order,
        Commitment calldata commitment,
        bytes calldata nodeSignature,
        bytes32 answerCommit
    ) external returns (bytes32 caseId);

    /// @notice Commits another verifier's answer, once.
    function commitVerdict(bytes32 caseId, bytes32 answerCommit) external;

    /// @notice Opens the caller's answer.
    /// @param leaf of the case; here and below its siblings are not looked at and may be left out
    /// @param commitment of the case, which the answer is held against
    function reveal(
        LeafProof calldata leaf,
        Commitment calldata commitment,
        bytes32 traceHash,
        bytes32 outputRoot,
        uint32 units
    ) external;

    // ---------------------------------------------------------------- the accused

    /// @notice Asks for a majority: restarts the commit window, once. By a key of the node's operator or its owner.
    function appeal(LeafProof calldata leaf) external;

    // ---------------------------------------------------------------- anyone

    /// @notice Moves the money as ruled, once. A guilty ruling waits until the leaf is final.
    /// @param verifierIds whose votes to settle at once
    function execute(LeafProof calldata leaf, Outcomes calldata outcomes, uint32[] calldata verifierIds) external;

    /// @notice Of an executed case, slashes, rewards and frees these verifiers. Those that did not vote, or were settled
    /// before, are passed over.
    function settleVotes(bytes32 caseId, uint32[] calldata verifierIds) external;

    /// @notice Slashes a node that signed two commitments to one order, at once: no verdict is needed. Takes
    /// min(PENALTY_MULTIPLE * maxPrice, what is staked or unbonding), once an order and node, and rewards nobody. A key that
    /// was revoked signs nothing here.
    /// @param orderR EIP-2098 signature of the order by its requester, or by the key of a lane that it opened, with `orderVs`
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

    /// @notice A leaf's case, whether there is one or not: a hash of all that the leaf says.
    function caseIdOf(LeafProof calldata leaf) external pure returns (bytes32);
    function cases(bytes32 caseId) external view returns (Case memory);

    /// @notice OPEN until the reveal window has ended; also for a case that does not exist.
    function ruling(bytes32 caseId) external view returns (Ruling);
    function votes(bytes32 caseId, uint32 verifierId) external view returns (Vote memory);
    function answers(bytes32 caseId, bytes32 answerKey) external view returns (Answer memory);

    /// @notice Whether a node was slashed for two answers to an order.
    function equivocated(bytes32 orderId, address node) external view returns (bool);

    function STAKE_MANAGER() external view returns (address);
    function UNIT() external view returns (uint256);
    function CASE_WINDOW() external view returns (uint256);
    function COMMIT_WINDOW() external view returns (uint256);
    function REVEAL_WINDOW() external view returns (uint256);
    function PENALTY_MULTIPLE() external view returns (uint256);
    function CASE_REWARD() external view returns (uint256);
}
