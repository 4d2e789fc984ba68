// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {
    CapProof,
    Epoch,
    EpochStatus,
    Lane,
    Leaf,
    LeafProof,
    LeafStatus,
    OperatorCredit,
    Outcomes,
    SettlerBond,
    SkipReason,
    Totals
} from "../libraries/Types.sol";

/// @title Holds requesters' money in lanes and pays operators for what epochs prove (SPEC sections 4 to 6)
/// @notice Amounts are in units of `UNIT` base units of the token; times are seconds.
/// Warning: a token that takes a fee on transfer is refused, and the token's issuer can freeze what is held here.
interface IJobEscrow {
    /// @param stakeManager where it will be, like `court` and `contests`: the contracts name each other
    /// @param governor changes the settler and resets the beacon; a TimelockController
    /// @param guardian pauses what comes in; cannot move anything held here
    /// @param tip end of the beacon's hash chain, published before the first epoch
    struct Params {
        address token;
        address settler;
        address treasury;
        address stakeManager;
        address court;
        address contests;
        address governor;
        address guardian;
        bytes32 tip;
        uint256 unit;
        uint256 feeBps;
        uint256 orderTtl;
        uint256 epochMax;
        uint256 seedBlocks;
        uint256 checkWait;
        uint256 settleWait;
        uint256 chargeWindow;
        uint256 notice;
        uint256 noticeLife;
    }

    // ---------------------------------------------------------------- events

    event LaneOpened(address indexed requester, address indexed signer, uint32 expiry);
    event Deposited(address indexed requester, address indexed signer, address payer, uint64 units);
    event NoticeGiven(address indexed requester, address indexed signer, uint32 noticeAt);
    event NoticeCancelled(address indexed requester, address indexed signer);
    event Withdrawn(address indexed requester, address indexed signer, address to, uint64 units);
    event EpochPosted(uint64 indexed id, bytes32 root, uint16 count, bytes32 beacon, bytes32 logRoot);
    event EpochSettled(uint64 indexed id, uint64 chargedUnits, uint64 feeUnits, bytes voidBits, bytes skippedBits);
    event LaneSkipped(
        uint64 indexed id, address indexed requester, address indexed signer, SkipReason reason, uint64 sumUnits
    );
    event LeafSettled(
        uint64 indexed epochId,
        uint32 index,
        address indexed requester,
        address signer,
        uint32 indexed operatorId,
        uint64 amountUnits,
        uint64 feeUnits
    );
    event Claimed(uint32 indexed operatorId, address payout, uint64 units);
    event SettlerBonded(address payer, uint64 units, uint64 bondUnits);
    event SettlerUnbonding(uint32 unbondAt);
    event SettlerUnbonded(uint64 units);
    event SettlerChanged(address indexed previous, address indexed settler);
    event BeaconReset(bytes32 tip);
    event Paused();
    event Unpaused(address by);
    event ClaimedToStake(uint32 indexed operatorId, uint64 units);
    event FeesWithdrawn(uint64 units);
    event Refunded(
        uint64 indexed epochId, uint32 index, address indexed requester, address indexed signer, uint64 units
    );
    event RefundedFromBond(
        uint64 indexed epochId,
        uint32 index,
        address indexed requester,
        address indexed signer,
        uint64 units,
        uint64 bondUnits
    );

    // ---------------------------------------------------------------- errors

    /// @notice Thrown when token, settler, treasury, governor, guardian or unit is zero, or the new settler is.
    error JobEscrow_MissingParam();
    error JobEscrow_FeeAboveOne(uint256 feeBps);
    /// @notice Thrown when not SETTLE_WAIT > EPOCH_MAX + CHECK_WAIT.
    error JobEscrow_SettleWaitTooShort(uint256 settleWait, uint256 mustExceed);
    /// @notice Thrown when not NOTICE > ORDER_TTL + EPOCH_MAX + SETTLE_WAIT.
    error JobEscrow_NoticeTooShort(uint256 notice, uint256 mustExceed);
    error JobEscrow_NotSettler(address caller);
    /// @notice Thrown when an epoch is settled through a contract, or by an account with code (EIP-7702): the
    /// transaction's data need not show the rows then, and it is their only record.
    error JobEscrow_NotDirect(address caller);
    error JobEscrow_NotCourt(address caller);
    error JobEscrow_NotContests(address caller);
    error JobEscrow_NotGovernor(address caller);
    /// @notice Thrown when a caller may not pause, or not end a pause.
    error JobEscrow_NotGuardian(address caller);
    error JobEscrow_NotOwner(address caller, uint32 operatorId);
    /// @notice Thrown when money or rows come in during a pause.
    error JobEscrow_IsPaused();
    /// @notice Thrown when a session lane's signer is nobody, or the requester itself, whose lane needs no opening.
    error JobEscrow_NotASessionSigner(address requester, address signer);
    error JobEscrow_ExpiryNotAhead(uint32 expiry, uint256 time);
    /// @notice Thrown when money is sent to a session lane that its requester has not opened.
    error JobEscrow_LaneNotOpened(address requester, address signer);
    /// @notice Thrown when neither the requester's key signed the LaneGrant nor its contract approves it.
    error JobEscrow_GrantNotSigned(address requester, bytes32 digest);
    /// @notice Thrown when a deposit would take all that is held beyond 64 bits.
    error JobEscrow_TooMuchHeld(uint256 heldUnits, uint64 units);
    /// @notice Thrown when a lane's notice has not matured, or has lapsed.
    error JobEscrow_NoticeNotMature(uint32 noticeAt, uint256 time);
    error JobEscrow_BalanceTooLow(uint64 balanceUnits, uint64 units);
    error JobEscrow_WrongEpochId(uint64 id, uint64 expected);
    /// @notice Thrown when a beacon's hash is not the tip.
    error JobEscrow_WrongBeacon(bytes32 beacon, bytes32 tip);
    /// @notice Thrown when the block whose hash goes into the seed is not mined yet.
    error JobEscrow_SeedBlockAhead(uint256 blockNumber, uint256 mustExceed);
    /// @notice Thrown when an epoch has a root and no rows, or rows and no root.
    error JobEscrow_RootAndCountDiffer(bytes32 root, uint16 count);
    /// @notice Thrown when an epoch with rows is posted while the settler's bond is unbonding.
    error JobEscrow_SettlerIsUnbonding(uint32 unbondAt);
    /// @notice Thrown when the beacon is reset while the last epoch's rows wait for their seed.
    error JobEscrow_SeedIsPending(uint64 id);
    /// @notice Thrown when an epoch's seed is not revealed, or its check period has not ended.
    error JobEscrow_CheckPeriodRuns(uint64 id, uint256 time, uint256 endsAt);
    /// @notice Thrown when the time to settle an epoch as a whole has passed.
    error JobEscrow_EpochStranded(uint64 id, uint256 time, uint256 endedAt);
    error JobEscrow_AlreadySettled(uint64 id);
    /// @notice Thrown when the rows do not rebuild the posted root.
    error JobEscrow_WrongRoot(bytes32 computed, bytes32 posted);
    error JobEscrow_LeafNotInEpoch(uint64 epochId, uint32 index);
    /// @notice Thrown when bitmaps do not hash to the epoch's outcomes.
    error JobEscrow_WrongOutcomes(uint64 epochId);
    /// @notice Thrown when a leaf's epoch is neither settled nor stranded.
    error JobEscrow_LeafNotFinal(uint64 epochId, uint32 index);
    /// @notice Thrown when a leaf is VOID, or was paid, closed or refunded before.
    error JobEscrow_LeafNotPayable(uint64 epochId, uint32 index, LeafStatus status);
    error JobEscrow_LaneDoesNotCover(address requester, address signer, SkipReason reason);
    error JobEscrow_NothingToClaim(uint32 operatorId);
    /// @notice Thrown when the settler's bond is withdrawn before its time.
    error JobEscrow_BondLocked(uint32 unbondAt, uint256 time);
    /// @notice Thrown when the settler's bond is withdrawn while it may still have to refund charges.
    error JobEscrow_ChargedLately(uint256 spentUnits);

    // ---------------------------------------------------------------- requesters

    /// @notice Sets the expiry of the caller's lane with another signer and moves `units` into it (may be 0).
    function openLane(address signer, uint32 expiry, uint64 units) external;

    /// @notice Opens a requester's lane by its signed LaneGrant, which anyone may submit. Pulls the money from the
    /// requester's token allowance, never out of another lane.
    /// @param nonce the requester's next one
    /// @param signature by the requester's key, or one that its contract (ERC-1271) approves now
    function openLaneWithGrant(
        address requester,
        address signer,
        uint64 units,
        uint32 expiry,
        uint256 nonce,
        bytes calldata signature
    ) external;

    /// @notice Moves the caller's `units` into anybody's lane.
    function deposit(address requester, address signer, uint64 units) external;

    /// @notice Deposits with the caller's ERC-2612 permit. A permit that somebody else has used already does no harm.
    function depositWithPermit(
        address requester,
        address signer,
        uint64 units,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;

    /// @notice Deposits with the payer's EIP-3009 authorization to receive, which anyone may submit.
    /// The authorization's nonce is keccak256(abi.encode(requester, signer, salt)).
    function depositWithAuthorization(
        address payer,
        address requester,
        address signer,
        uint64 units,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 salt,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;

    /// @notice Starts the wait before a withdrawal from the caller's lane. Orders under notice are refused off chain.
    function giveNotice(address signer) external;

    function cancelNotice(address signer) external;

    /// @notice Pays out of the caller's lane while noticeAt + NOTICE <= now < noticeAt + NOTICE + NOTICE_LIFE.
    /// One withdrawal per notice.
    function withdraw(address signer, uint64 units, address to) external;

    // ---------------------------------------------------------------- settler

    /// @notice Posts the next epoch's root. Its beacon reveals the seed of the epoch before.
    /// @param beacon pre-image of the tip
    /// @param logRoot root of the epoch's published log; kept in the event only
    function postEpoch(uint64 id, bytes32 root, uint16 count, bytes32 beacon, bytes32 logRoot) external;

    /// @notice Settles an epoch whole: rebuilds its root, charges the lanes, credits the operators.
    /// A lane that fails is skipped; malformed bytes revert. Called by the settler's account directly, so that an
    /// auditor finds the record in the transaction.
    function settleEpoch(uint64 id, bytes calldata packed) external;

    /// @notice Adds to the settler's bond. Where the settler itself pays, an unbonding ends.
    function bondSettler(uint64 units) external;

    /// @notice Starts the wait before the bond may be withdrawn. From now on only empty epochs can be posted.
    function unbondSettler() external;

    /// @notice Pays the bond to the treasury after StakeManager's UNBOND, once it backs no charge of the last window.
    /// A stolen settler's key cannot send it elsewhere.
    function withdrawBond() external;

    // ---------------------------------------------------------------- guardian, governor

    /// @notice Stops new rows and deposits. Settlement, answers, appeals, claims and every exit go on.
    function pause() external;

    /// @notice Ends a pause. The governor may, too.
    function unpause() external;

    /// @notice Gives the settler's role to another key and ends an unbonding.
    function setSettler(address newSettler) external;

    /// @notice Starts another beacon's chain, while no row waits for a seed that the new chain could choose.
    function resetBeacon(bytes32 newTip) external;

    // ---------------------------------------------------------------- anyone

    /// @notice Pays one leaf of a stranded epoch, or a skipped one of a settled epoch.
    /// @param outcomes of the settled epoch; ignored for a stranded one
    function settleOne(LeafProof calldata proof, Outcomes calldata outcomes, CapProof calldata capProof) external;

    /// @notice Pays what an operator earned to its payout address.
    function claim(uint32 operatorId) external;

    /// @notice Moves what an operator earned into its stake. Only the account's owner may.
    function claimToStake(uint32 operatorId) external;

    /// @notice Pays the fees to the treasury.
    function withdrawFees() external;

    // ---------------------------------------------------------------- court, contests

    /// @notice Gives a lane back what it was charged for a leaf, at most `limitUnits`. The caller sends the tokens in
    /// the same transaction and has checked that the leaf is in its epoch: `proof.siblings` are not read. A leaf that
    /// waits to be paid one by one is closed instead. All refunds of a leaf together are at most its charge.
    function refund(LeafProof calldata proof, Outcomes calldata outcomes, uint64 limitUnits)
        external
        returns (uint64 units);

    /// @notice Gives a lane back what it was charged for a leaf out of the settler's bond, as far as that reaches.
    /// @return units 0 if the leaf is not charged, or was refunded before
    function refundFromBond(LeafProof calldata proof, Outcomes calldata outcomes) external returns (uint64 units);

    // ---------------------------------------------------------------- views

    function lanes(address requester, address signer) external view returns (Lane memory);
    function epochs(uint64 id) external view returns (Epoch memory);
    function epochStatus(uint64 id) external view returns (EpochStatus);
    function operators(uint32 id) external view returns (OperatorCredit memory);
    function settlerBond() external view returns (SettlerBond memory);
    function totals() external view returns (Totals memory);
    /// @notice What happened to a leaf by itself, apart from its epoch.
    function leaves(uint64 epochId, uint32 index) external view returns (Leaf memory);
    /// @notice What became of a leaf. Reverts unless it is under its epoch's root and the epoch is settled or stranded.
    /// @return status by its epoch's outcomes and its own `Leaf`
    /// @return chargedAt 0: never; of a leaf paid with its epoch, when the epoch was posted
    function leafStatus(LeafProof calldata proof, Outcomes calldata outcomes)
        external
        view
        returns (LeafStatus status, uint40 chargedAt);
    /// @notice Reverts unless the leaf is under its epoch's root.
    function requireLeaf(LeafProof calldata proof) external view;
    /// @notice Tokens owed, in base units: balances, credits, fees and bond.
    function held() external view returns (uint256);
    /// @notice Tokens beyond what is owed, in base units.
    function donated() external view returns (uint256);
    function domainSeparator() external view returns (bytes32);
    function hashLaneGrant(address requester, address signer, uint64 units, uint32 expiry, uint256 nonce)
        external
        view
        returns (bytes32);
    /// @notice The nonce that a requester's next LaneGrant carries.
    function nonces(address requester) external view returns (uint256);
    function paused() external view returns (bool);
    function settler() external view returns (address);
    function tip() external view returns (bytes32);
    function lastEpoch() external view returns (uint64);

    function TOKEN() external view returns (address);
    function TREASURY() external view returns (address);
    function STAKE_MANAGER() external view returns (address);
    function COURT() external view returns (address);
    function CONTESTS() external view returns (address);
    function GOVERNOR() external view returns (address);
    function GUARDIAN() external view returns (address);
    function UNIT() external view returns (uint256);
    function FEE_BPS() external view returns (uint256);
    function ORDER_TTL() external view returns (uint256);
    function EPOCH_MAX() external view returns (uint256);
    function SEED_BLOCKS() external view returns (uint256);
    function CHECK_WAIT() external view returns (uint256);
    function SETTLE_WAIT() external view returns (uint256);
    function CHARGE_WINDOW() external view returns (uint256);
    function NOTICE() external view returns (uint256);
    function NOTICE_LIFE() external view returns (uint256);
}
