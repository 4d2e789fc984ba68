// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Commitment, LeafProof, LeafStatus, Order, Outcomes, Terms, Verdict} from "../libraries/Types.sol";

/// @title Gives charges back that nobody ordered or delivered (SPEC section 15)
/// @notice A contest asks the settler's side to show, on chain, the order and the delivery behind one charge. Shown: the
/// contester's bond goes to whoever showed it. Not shown: the charge comes back out of the settler's bond. Nobody judges:
/// what is shown is checked here. An order that was charged more often than it allows needs no asking.
/// Warning: whether a delivered answer is right is no matter of a contest but of a case (SlashingCourt).
interface IContests {
    /// @param escrow address of the JobEscrow, which names this contract
    /// @param contestWindow from a charge to the last moment at which it may be contested
    /// @param contestBond units, what a contester stakes on it
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
    /// @notice The output, where an answer came through a contract or from an account with code (EIP-7702), so that no
    /// transaction's data has to show it.
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

    /// @notice Thrown when a leaf is a check's, paid out of the treasury's lane: there is no order behind it.
    error Contests_TreasuryLane(uint64 epochId, uint32 index);

    /// @notice Thrown when a charge is contested too late.
    error Contests_TooLate(uint256 time, uint256 endedAt);

    /// @notice Thrown when a leaf was contested before and that contest did not lapse.
    error Contests_AlreadyContested(uint64 epochId, uint32 index);

    /// @notice Thrown when a contest is not, or no longer, in the state that a step needs.
    error Contests_WrongStatus(ContestStatus status, ContestStatus needed);

    /// @notice Thrown when the order is not signed by the signer of the lane that was charged.
    error Contests_NotSignedBySigner(address recovered, address signer);

    /// @notice Thrown when the charge is not min(maxPrice, fixedPrice + units * unitPrice).
    error Contests_WrongAmount(uint64 amountUnits, uint256 expectedUnits);

    /// @notice Thrown when the epoch was posted after the order's deadline + EPOCH_MAX.
    error Contests_PastDeadline(uint256 postedAt, uint256 latest);

    /// @notice Thrown when the output is not the one that the commitment names.
    error Contests_WrongOutput(bytes32 outputRoot, bytes32 expected);

    /// @notice Thrown when a duplicate is shown with another number of leaves than the order's copies + 1.
    error Contests_WrongNumberOfLeaves(uint256 given, uint256 needed);

    /// @notice Thrown when leaves are not in strictly ascending order of (epochId, index).
    error Contests_NotAscending(uint64 epochId, uint32 index);

    // ---------------------------------------------------------------- anyone

    /// @notice Contests a charge. Pulls CONTEST_BOND of the caller's units. Once a leaf, but a contest that lapsed bars nobody.
    function contest(LeafProof calldata proof, Outcomes calldata outcomes) external;

    /// @notice Shows what a contested charge was for, before ANSWER_WINDOW ends. Pays the contester's bond to the caller
    /// and closes the leaf to contests for ever.
    /// @param orderR the lane signer's EIP-2098 signature of the order, with `orderVs`
    /// @param output that was delivered; not needed if the order is restricted and the contester neither its requester
    /// nor its signer, who has no right to see it
    function answer(
        LeafProof calldata proof,
        Order calldata order,
        bytes32 orderR,
        bytes32 orderVs,
        Commitment calldata commitment,
        bytes calldata nodeSignature,
        bytes calldata output
    ) external;

    /// @notice Refunds a contested charge that nobody answered, within RESOLVE_WINDOW, and returns the contester's bond.
    /// A contester whom the token refuses to pay forgoes its bond, so that it cannot hold up the refund.
    function resolve(LeafProof calldata proof, Outcomes calldata outcomes) external;

    /// @notice Returns the bond of a contest that nobody answered and nobody resolved in time. No refund: the silent lose.
    function lapse(uint64 epochId, uint32 index) external;

    /// @notice Refunds the charge that was one too many: `order.copies + 1` charged leaves whose commitments all name the
    /// order. The one charged last (of several at a time: the last given) is refunded; asks for no bond.
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

    /// @notice Contests that have not ended; each holds one bond.
    function openContests() external view returns (uint64);

    /// @notice What people sign, as the contracts hash it: EIP-712, but for the terms in the escrow's domain (SPEC section 3).
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
