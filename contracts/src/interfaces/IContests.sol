// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Commitment, LeafProof, LeafStatus, Order, Outcomes, Terms, Verdict} from "../libraries/Types.sol";

/// @title Refunds charges for what nobody ordered or delivered (SPEC section 15)
/// @notice A contest demands that somebody show, on chain, the order and the delivery behind one charge. Who shows them
/// gets the contester's bond; if nobody does, the charge comes back out of the settler's bond. The contract checks what
/// is shown; nobody votes. An order that was charged more often than it allows is refunded without a contest.
/// Warning: a contest does not decide whether a delivered answer is right; a case does (SlashingCourt).
interface IContests {
    /// @param escrow the JobEscrow, which names this contract
    /// @param contestWindow from a charge until it can no longer be contested
    /// @param contestBond units that a contester puts up
    struct Params {
        address token;
        uint256 unit;
        address escrow;
        address stakeManager;
        uint256 contestWindow;
        uint256 answerWindow;
        uint256 resolveWindow;
        uint256 contestBond;
    }

    /// @dev Derived from facts and time. OPEN may be answered, UNANSWERED resolved, OVERDUE only lapses.
    enum ContestStatus {
        NONE,
        OPEN,
        UNANSWERED,
        OVERDUE,
        ANSWERED,
        REFUNDED,
        LAPSED
    }

    /// @param closedAs how it ended; NONE while it has not
    struct Contest {
        address contester;
        uint40 contestedAt;
        ContestStatus closedAs;
    }

    // ---------------------------------------------------------------- events

    event Contested(
        uint64 indexed epochId, uint32 indexed index, address indexed contester, uint40 answerEnds, uint64 bondUnits
    );
    event Answered(
        uint64 indexed epochId, uint32 indexed index, address indexed answerer, bytes32 outputRoot, uint64 bondUnits
    );
    /// @notice The output, where the answer came through a contract or from an account with code (EIP-7702): the
    /// transaction's data need not show it then.
    event Delivered(uint64 indexed epochId, uint32 indexed index, bytes output);
    event ContestResolved(
        uint64 indexed epochId, uint32 indexed index, address indexed contester, uint64 refundUnits, uint64 bondUnits
    );
    event ContestLapsed(uint64 indexed epochId, uint32 indexed index, address indexed contester, uint64 bondUnits);
    event DuplicateRefunded(uint64 indexed epochId, uint32 indexed index, bytes32 indexed orderId, uint64 refundUnits);

    // ---------------------------------------------------------------- errors

    /// @notice Thrown when the contracts do not name each other, or differ in unit or token.
    error Contests_Miswired();
    /// @notice Thrown when not CONTEST_WINDOW > SETTLE_WAIT.
    error Contests_ContestWindowTooShort(uint256 contestWindow, uint256 mustExceed);
    /// @notice Thrown when not CHARGE_WINDOW >= CONTEST_WINDOW + ANSWER_WINDOW + RESOLVE_WINDOW.
    error Contests_ChargeWindowTooShort(uint256 chargeWindow, uint256 needed);
    /// @notice Thrown when a leaf was not charged, or was refunded.
    error Contests_NotCharged(uint64 epochId, uint32 index, LeafStatus status);
    /// @notice Thrown when a leaf pays a check out of the treasury's lane: there is no order behind it.
    error Contests_TreasuryLane(uint64 epochId, uint32 index);
    error Contests_TooLate(uint256 time, uint256 endedAt);
    /// @notice Thrown when a leaf was contested before and that contest did not lapse.
    error Contests_AlreadyContested(uint64 epochId, uint32 index);
    /// @notice Thrown when a contest is not in the state that a step needs.
    error Contests_WrongStatus(ContestStatus status, ContestStatus needed);
    /// @notice Thrown when the order is not signed by the signer of the lane that was charged.
    error Contests_NotSignedBySigner(address recovered, address signer);
    /// @notice Thrown when the charge is not min(maxPrice, fixedPrice + units * unitPrice).
    error Contests_WrongAmount(uint64 amountUnits, uint256 expectedUnits);
    /// @notice Thrown when the epoch was posted after the order's deadline + EPOCH_MAX.
    error Contests_PastDeadline(uint256 postedAt, uint256 latest);
    error Contests_WrongOutput(bytes32 outputRoot, bytes32 expected);
    /// @notice Thrown when a duplicate is shown with another number of leaves than the order's copies + 1.
    error Contests_WrongNumberOfLeaves(uint256 given, uint256 needed);
    /// @notice Thrown when leaves are not in strictly ascending order of (epochId, index).
    error Contests_NotAscending(uint64 epochId, uint32 index);

    // ---------------------------------------------------------------- anyone

    /// @notice Contests a charge and pulls CONTEST_BOND from the caller. Once per leaf, lapsed contests aside.
    function contest(LeafProof calldata proof, Outcomes calldata outcomes) external;

    /// @notice Shows what a contested charge was for, before ANSWER_WINDOW ends. Pays the contester's bond to the
    /// caller and closes the leaf to contests for ever.
    /// @param orderR with `orderVs` the lane signer's EIP-2098 signature of the order
    /// @param output that was delivered; may be left out if the order is restricted and the contester is neither its
    /// requester nor its signer, and so has no right to see it
    function answer(
        LeafProof calldata proof,
        Order calldata order,
        bytes32 orderR,
        bytes32 orderVs,
        Commitment calldata commitment,
        bytes calldata nodeSignature,
        bytes calldata output
    ) external;

    /// @notice Refunds a contested charge that nobody answered, within RESOLVE_WINDOW, and returns the contester's
    /// bond. A contester whom the token refuses to pay loses its bond, so that it cannot block the refund.
    function resolve(LeafProof calldata proof, Outcomes calldata outcomes) external;

    /// @notice Returns the bond of a contest that nobody answered and nobody resolved in time. Refunds nothing.
    function lapse(uint64 epochId, uint32 index) external;

    /// @notice Refunds the charge that was one too many, without a bond: of `order.copies + 1` charged leaves whose
    /// commitments all name the order, the one charged last (of several at the same time the last given).
    /// @param proofs in strictly ascending order of (epochId, index)
    function contestDuplicate(
        Order calldata order,
        LeafProof[] calldata proofs,
        Outcomes[] calldata outcomes,
        Commitment[] calldata commitments
    ) external;

    // ---------------------------------------------------------------- views

    function contests(uint64 epochId, uint32 index) external view returns (Contest memory);
    function contestStatus(uint64 epochId, uint32 index) external view returns (ContestStatus);
    /// @notice How many contests have not ended; each holds one bond.
    function openContests() external view returns (uint64);
    /// @notice EIP-712 hashes of what people sign (SPEC section 3): of the terms the struct's, else in the escrow's
    /// domain.
    function hashTerms(Terms calldata terms) external pure returns (bytes32);
    function hashOrder(Order calldata order) external view returns (bytes32);
    function hashCommitment(Commitment calldata commitment) external view returns (bytes32);
    function hashVerdict(Verdict calldata verdict) external view returns (bytes32);
    /// @notice Tokens owed, in base units: the bonds of contests that have not ended.
    function held() external view returns (uint256);
    /// @notice Tokens beyond what is owed, in base units.
    function donated() external view returns (uint256);

    function TOKEN() external view returns (address);
    function UNIT() external view returns (uint256);
    function STAKE_MANAGER() external view returns (address);
    function CONTEST_WINDOW() external view returns (uint256);
    function ANSWER_WINDOW() external view returns (uint256);
    function RESOLVE_WINDOW() external view returns (uint256);
    function CONTEST_BOND() external view returns (uint64);
}
