// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @title Holds the stake of operators and verifiers (SPEC section 7)
/// @notice An account is a node operator's or a verifier's, never both, so that its stake backs one thing. Amounts are
/// in units of `UNIT` base units of the token. Events carry the resulting totals: logs alone rebuild all stakes.
interface IStakeManager {
    /// @param escrow the JobEscrow, which gets refunds
    /// @param court where the SlashingCourt will be
    /// @param sink gets the slashed stake that is owed to nobody
    struct Params {
        address token;
        address governor;
        address escrow;
        address court;
        address sink;
        uint256 unit;
        uint256 unbond;
        uint256 payoutDelay;
        uint256 minVerifierStake;
    }

    /// @param pendingPayout replaces `payout` from `payoutAt` on, if that is set
    /// @param hasNodeKeys the account is a node operator's for ever
    /// @param verifierKey if set, the account is a verifier's for ever
    /// @param isVerifier admitted and not retired
    /// @param lockedUnits sum of the penalties in open cases, which may exceed the stake; cannot be withdrawn. Of a
    /// verifier what it loses if its answers are wrong, never more than its stake
    /// @param unbondAt when the last unbonding began
    struct Operator {
        uint64 stakeUnits;
        uint64 unbondingUnits;
        uint80 lockedUnits;
        uint32 unbondAt;
        bool hasNodeKeys;
        bool isVerifier;
        address owner;
        uint40 payoutAt;
        address payout;
        address pendingPayout;
        address verifierKey;
    }

    /// @param operatorId account whose key it is or was; 0: nobody's
    /// @param revokedAt 0: not revoked
    struct NodeKey {
        uint32 operatorId;
        uint40 revokedAt;
    }

    // ---------------------------------------------------------------- events

    event Registered(uint32 indexed id, address indexed owner, address payout);
    event NodeKeyAdded(uint32 indexed id, address indexed node);
    event NodeKeyRevoked(uint32 indexed id, address indexed node);
    event PayoutChanged(uint32 indexed id, address payout, uint40 from);
    event Staked(uint32 indexed id, address payer, uint64 units, uint64 stakeUnits);
    event Unbonding(uint32 indexed id, uint64 units, uint64 stakeUnits, uint64 unbondingUnits, uint32 unbondAt);
    event StakeWithdrawn(uint32 indexed id, address to, uint64 units);
    event VerifierAdmitted(uint32 indexed id, address indexed key);
    event VerifierRetired(uint32 indexed id);
    event Slashed(
        uint32 indexed id, uint64 units, uint64 refundUnits, uint64 rewardUnits, uint64 sunkUnits, uint64 stakeUnits
    );
    event Rewarded(uint32 indexed id, uint64 units, uint64 unbondingUnits);
    event Swept(uint64 units);

    // ---------------------------------------------------------------- errors

    /// @notice Thrown when token, governor, escrow, court, sink or unit is zero.
    error StakeManager_MissingParam();
    error StakeManager_NotGovernor(address caller);
    error StakeManager_NotCourt(address caller);
    error StakeManager_AlreadyRegistered(address owner, uint32 id);
    error StakeManager_NotRegistered(address owner);
    error StakeManager_UnknownId(uint32 id);
    error StakeManager_ZeroPayout();
    /// @notice Thrown when a node or verifier key is zero or was ever used before.
    error StakeManager_KeyUsed(address key);
    /// @notice Thrown when the key to revoke is not the caller's, or was revoked before.
    error StakeManager_NotNodeKey(uint32 id, address node);
    /// @notice Thrown when NodeKey(owner, node) is not signed by the node's key.
    error StakeManager_NotSignedByNode(address node, address recovered);
    /// @notice Thrown when a verifier's account is given node keys.
    error StakeManager_IsVerifierAccount(uint32 id);
    /// @notice Thrown when an account with node keys is admitted as a verifier.
    error StakeManager_IsNodeAccount(uint32 id);
    /// @notice Thrown when an admitted verifier is admitted, or another account retired.
    error StakeManager_WrongVerifierState(uint32 id, bool isVerifier);
    error StakeManager_StakeTooLow(uint32 id, uint64 stakeUnits, uint64 units);
    error StakeManager_StillUnbonding(uint32 id, uint256 time, uint256 endsAt);
    /// @notice Thrown when nothing can be withdrawn: nothing is unbonding, or all of it is locked.
    error StakeManager_NothingToWithdraw(uint32 id, uint64 unbondingUnits, uint80 lockedUnits);
    /// @notice Thrown when the key belongs to no active verifier.
    error StakeManager_NotActiveVerifier(address key);
    /// @notice Thrown when a verifier has less stake free than it could lose.
    error StakeManager_TooLittleFree(uint32 id, uint80 freeUnits, uint64 units);
    /// @notice Thrown when more is unlocked or slashed than is locked.
    error StakeManager_NotLocked(uint32 id, uint80 lockedUnits, uint64 units);

    // ---------------------------------------------------------------- owners

    /// @notice Creates the caller's account, one per owner. Ids count from 1.
    function register(address payout) external returns (uint32 id);

    /// @notice Adds a node's key to the caller's account. No other account can ever have it.
    /// @param signature by the node's key over NodeKey(owner, node)
    function addNodeKey(address node, bytes calldata signature) external;

    /// @notice Revokes a node's key at once and for ever. What it signed still counts for rows that are posted within
    /// EPOCH_MAX from now (SPEC section 7).
    function revokeNodeKey(address node) external;

    /// @notice Changes where claims go to, after PAYOUT_DELAY.
    function setPayout(address payout) external;

    /// @notice Moves stake into unbonding; the clock restarts for all of it.
    function unbond(uint64 units) external;

    /// @notice Pays out what has unbonded, less what is locked beyond the remaining stake.
    function withdrawStake(address to) external;

    // ---------------------------------------------------------------- anyone

    /// @notice Adds the caller's `units` to anybody's stake.
    function stake(uint32 id, uint64 units) external;

    /// @notice Pays slashed stake that is owed to nobody to the sink.
    function sweep() external;

    // ---------------------------------------------------------------- governor

    /// @notice Admits an account without node keys as a verifier that signs with `key`.
    function admitVerifier(uint32 id, address key) external;

    function retireVerifier(uint32 id) external;

    // ---------------------------------------------------------------- court

    /// @notice Locks `units`, even if the stake is lower: whatever of it is locked cannot be withdrawn.
    function lock(uint32 id, uint64 units) external;

    /// @notice Locks all `units` in the account of the active verifier that signs with `key`.
    function lockVerifier(address key, uint64 units) external returns (uint32 id);

    function unlock(uint32 id, uint64 units) external;

    /// @notice Takes `units` that were locked: `refundUnits` go to the escrow, `rewardUnits` wait for `reward`, the
    /// rest for `sweep`.
    function slash(uint32 id, uint64 units, uint64 refundUnits, uint64 rewardUnits) external;

    /// @notice Pays out of what slashes left for rewards. It joins the account's unbonding stake: the owner may
    /// withdraw it, and no checkpoint has to be written.
    function reward(uint32 id, uint64 units) external;

    // ---------------------------------------------------------------- views

    function operators(uint32 id) external view returns (Operator memory);
    function operatorIdOf(address owner) external view returns (uint32);
    /// @notice Account that a node's key belongs to; 0: none, or the key was revoked.
    function operatorOf(address node) external view returns (uint32);
    function nodeKeys(address node) external view returns (NodeKey memory);
    /// @notice Account with this verifier key now; 0: none.
    function verifierOf(address key) external view returns (uint32);
    function ownerOf(uint32 id) external view returns (address);
    /// @notice Where claims go to now; zero for an unknown account.
    function payoutOf(uint32 id) external view returns (address);
    function stakeOf(uint32 id) external view returns (uint64);
    /// @notice What a slash can take: all that is staked or unbonding, locked or not.
    function slashableOf(uint32 id) external view returns (uint64);
    /// @notice Stake that counts in cases: that of an admitted verifier with at least MIN_VERIFIER_STAKE.
    function activeStakeAt(uint32 id, uint256 blockNumber) external view returns (uint64);
    function totalActiveStakeAt(uint256 blockNumber) external view returns (uint64);
    /// @notice Tokens owed, in base units: all stake, unbonding or not, and what was slashed and not paid out yet.
    function held() external view returns (uint256);
    /// @notice Tokens beyond what is owed, in base units.
    function donated() external view returns (uint256);
    function domainSeparator() external view returns (bytes32);
    function hashNodeKey(address owner, address node) external view returns (bytes32);
    function lastId() external view returns (uint32);
    /// @notice All stake, unbonding or not.
    function totalUnits() external view returns (uint64);
    /// @notice What was slashed for verifiers' rewards and not yet paid.
    function rewardsUnits() external view returns (uint64);
    /// @notice What was slashed for the sink and not yet swept.
    function sunkUnits() external view returns (uint64);

    function TOKEN() external view returns (address);
    function GOVERNOR() external view returns (address);
    function ESCROW() external view returns (address);
    function COURT() external view returns (address);
    function SINK() external view returns (address);
    function UNIT() external view returns (uint256);
    function UNBOND() external view returns (uint256);
    function PAYOUT_DELAY() external view returns (uint256);
    function MIN_VERIFIER_STAKE() external view returns (uint256);
}
