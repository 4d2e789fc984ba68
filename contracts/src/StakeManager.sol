// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";

import {IStakeManager} from "./interfaces/IStakeManager.sol";
import {TypedData} from "./libraries/TypedData.sol";
import {UnitToken} from "./libraries/UnitToken.sol";

/// @notice Documented in IStakeManager.
contract StakeManager is IStakeManager, EIP712, ReentrancyGuardTransient {
    using Checkpoints for Checkpoints.Trace160;
    using UnitToken for IERC20;

    address public immutable TOKEN;
    address public immutable GOVERNOR;
    address public immutable ESCROW;
    address public immutable COURT;
    address public immutable SINK;
    uint256 public immutable UNIT;
    uint256 public immutable UNBOND;
    uint256 public immutable PAYOUT_DELAY;
    uint256 public immutable MIN_VERIFIER_STAKE;

    uint32 public lastId;
    uint64 public totalUnits;
    uint64 public rewardsUnits;
    uint64 public sunkUnits;
    mapping(address owner => uint32 id) public operatorIdOf;
    mapping(address key => uint32 id) public verifierOf;

    mapping(uint32 id => Operator) private _operators;
    mapping(address node => NodeKey) private _nodeKeys;
    mapping(address key => bool) private _wasVerifierKey;
    mapping(uint32 id => Checkpoints.Trace160) private _activeStake;
    Checkpoints.Trace160 private _totalActiveStake;

    modifier onlyGovernor() {
        if (msg.sender != GOVERNOR) revert StakeManager_NotGovernor(msg.sender);
        _;
    }

    modifier onlyCourt() {
        if (msg.sender != COURT) revert StakeManager_NotCourt(msg.sender);
        _;
    }

    constructor(Params memory params) EIP712(TypedData.NAME, TypedData.VERSION) {
        bool complete = params.token != address(0) && params.governor != address(0) && params.escrow != address(0)
            && params.court != address(0) && params.sink != address(0) && params.unit != 0;
        if (!complete) revert StakeManager_MissingParam();
        TOKEN = params.token;
        GOVERNOR = params.governor;
        ESCROW = params.escrow;
        COURT = params.court;
        SINK = params.sink;
        UNIT = params.unit;
        UNBOND = params.unbond;
        PAYOUT_DELAY = params.payoutDelay;
        MIN_VERIFIER_STAKE = params.minVerifierStake;
    }

    // ---------------------------------------------------------------- owners

    function register(address payout) external returns (uint32 id) {
        // Check:
        if (operatorIdOf[msg.sender] != 0) {
            revert StakeManager_AlreadyRegistered(msg.sender, operatorIdOf[msg.sender]);
        }
        if (payout == address(0)) revert StakeManager_ZeroPayout();

        // Effect:
        id = ++lastId;
        operatorIdOf[msg.sender] = id;
        _operators[id].owner = msg.sender;
        _operators[id].payout = payout;
        emit Registered(id, msg.sender, payout);
    }

    function addNodeKey(address node, bytes calldata signature) external {
        // Check:
        uint32 id = _idOfCaller();
        if (_operators[id].verifierKey != address(0)) revert StakeManager_IsVerifierAccount(id);
        _requireUnusedKey(node);
        (address recovered,,) = ECDSA.tryRecoverCalldata(hashNodeKey(msg.sender, node), signature);
        if (recovered != node) revert StakeManager_NotSignedByNode(node, recovered);

        // Effect:
        _operators[id].hasNodeKeys = true;
        _nodeKeys[node].operatorId = id;
        emit NodeKeyAdded(id, node);
    }

    function revokeNodeKey(address node) external {
        // Check:
        uint32 id = _idOfCaller();
        if (operatorOf(node) != id) revert StakeManager_NotNodeKey(id, node);

        // Effect:
        _nodeKeys[node].revokedAt = uint40(block.timestamp);
        emit NodeKeyRevoked(id, node);
    }

    function setPayout(address payout) external {
        // Check:
        uint32 id = _idOfCaller();
        if (payout == address(0)) revert StakeManager_ZeroPayout();

        // Effect:
        Operator storage operator = _operators[id];
        operator.payout = payoutOf(id);
        operator.pendingPayout = payout;
        operator.payoutAt = uint40(block.timestamp + PAYOUT_DELAY);
        emit PayoutChanged(id, payout, operator.payoutAt);
    }

    function unbond(uint64 units) external {
        // Check:
        uint32 id = _idOfCaller();
        Operator storage operator = _operators[id];
        if (units > operator.stakeUnits) revert StakeManager_StakeTooLow(id, operator.stakeUnits, units);

        // Effect:
        operator.stakeUnits -= units;
        operator.unbondingUnits += units;
        operator.unbondAt = uint32(block.timestamp);
        _updateActiveStake(id);
        emit Unbonding(id, units, operator.stakeUnits, operator.unbondingUnits, operator.unbondAt);
    }

    function withdrawStake(address to) external nonReentrant {
        // Check:
        uint32 id = _idOfCaller();
        Operator storage operator = _operators[id];
        uint256 endsAt = operator.unbondAt + UNBOND;
        if (block.timestamp < endsAt) revert StakeManager_StillUnbonding(id, block.timestamp, endsAt);
        uint80 stays = operator.lockedUnits > operator.stakeUnits ? operator.lockedUnits - operator.stakeUnits : 0;
        if (operator.unbondingUnits <= stays) {
            revert StakeManager_NothingToWithdraw(id, operator.unbondingUnits, operator.lockedUnits);
        }

        // Effect:
        uint64 units = operator.unbondingUnits - uint64(stays);
        operator.unbondingUnits = uint64(stays);
        totalUnits -= units;
        emit StakeWithdrawn(id, to, units);

        // Interaction:
        IERC20(TOKEN).push(UNIT, to, units);
    }

    // ---------------------------------------------------------------- anyone

    function stake(uint32 id, uint64 units) external nonReentrant {
        // Check:
        _requireKnown(id);

        // Effect:
        totalUnits += units;
        _addStake(id, units);
        emit Staked(id, msg.sender, units, _operators[id].stakeUnits);

        // Interaction:
        IERC20(TOKEN).pull(UNIT, msg.sender, units);
    }

    function sweep() external nonReentrant {
        // Effect:
        uint64 units = sunkUnits;
        sunkUnits = 0;
        emit Swept(units);

        // Interaction:
        IERC20(TOKEN).push(UNIT, SINK, units);
    }

    // ---------------------------------------------------------------- governor

    function admitVerifier(uint32 id, address key) external onlyGovernor {
        // Check:
        _requireKnown(id);
        Operator storage operator = _operators[id];
        if (operator.hasNodeKeys) revert StakeManager_IsNodeAccount(id);
        if (operator.isVerifier) revert StakeManager_WrongVerifierState(id, true);
        _requireUnusedKey(key);

        // Effect:
        address before = operator.verifierKey;
        if (before != address(0)) {
            _wasVerifierKey[before] = true;
            verifierOf[before] = 0;
        }
        operator.isVerifier = true;
        operator.verifierKey = key;
        verifierOf[key] = id;
        _updateActiveStake(id);
        emit VerifierAdmitted(id, key);
    }

    function retireVerifier(uint32 id) external onlyGovernor {
        // Check:
        if (!_operators[id].isVerifier) revert StakeManager_WrongVerifierState(id, false);

        // Effect:
        _operators[id].isVerifier = false;
        _updateActiveStake(id);
        emit VerifierRetired(id);
    }

    // ---------------------------------------------------------------- court

    function lock(uint32 id, uint64 units) external onlyCourt {
        _operators[id].lockedUnits += units;
    }

    function lockVerifier(address key, uint64 units) external onlyCourt returns (uint32 id) {
        // Check:
        id = verifierOf[key];
        Operator storage operator = _operators[id];
        if (_activeUnits(operator) == 0) revert StakeManager_NotActiveVerifier(key);
        uint80 free = operator.stakeUnits + operator.unbondingUnits - operator.lockedUnits;
        if (free < units) revert StakeManager_TooLittleFree(id, free, units);

        // Effect:
        operator.lockedUnits += units;
    }

    function unlock(uint32 id, uint64 units) external onlyCourt {
        _unlock(id, units);
    }

    function slash(uint32 id, uint64 units, uint64 refundUnits, uint64 rewardUnits) external onlyCourt nonReentrant {
        // Check, Effect:
        _unlock(id, units);
        uint64 stakeUnits = _takeStake(id, units);
        uint64 left = units - refundUnits - rewardUnits;
        if (rewardUnits > 0) rewardsUnits += rewardUnits;
        if (left > 0) sunkUnits += left;
        emit Slashed(id, units, refundUnits, rewardUnits, left, stakeUnits);

        // Interaction:
        if (refundUnits > 0) IERC20(TOKEN).push(UNIT, ESCROW, refundUnits);
    }

    function reward(uint32 id, uint64 units) external onlyCourt {
        rewardsUnits -= units;
        totalUnits += units;
        uint64 unbondingUnits = _operators[id].unbondingUnits + units;
        _operators[id].unbondingUnits = unbondingUnits;
        emit Rewarded(id, units, unbondingUnits);
    }

    // ---------------------------------------------------------------- views

    function operators(uint32 id) external view returns (Operator memory) {
        return _operators[id];
    }

    function ownerOf(uint32 id) external view returns (address) {
        return _operators[id].owner;
    }

    function payoutOf(uint32 id) public view returns (address) {
        Operator storage operator = _operators[id];
        bool changed = operator.payoutAt != 0 && block.timestamp >= operator.payoutAt;
        return changed ? operator.pendingPayout : operator.payout;
    }

    function stakeOf(uint32 id) external view returns (uint64) {
        return _operators[id].stakeUnits;
    }

    function slashableOf(uint32 id) public view returns (uint64) {
        Operator storage operator = _operators[id];
        return operator.stakeUnits + operator.unbondingUnits;
    }

    function operatorOf(address node) public view returns (uint32) {
        NodeKey memory key = _nodeKeys[node];
        return key.revokedAt == 0 ? key.operatorId : 0;
    }

    function nodeKeys(address node) external view returns (NodeKey memory) {
        return _nodeKeys[node];
    }

    function activeStakeAt(uint32 id, uint256 blockNumber) external view returns (uint64) {
        return uint64(_activeStake[id].upperLookupRecent(uint96(blockNumber)));
    }

    function totalActiveStakeAt(uint256 blockNumber) external view returns (uint64) {
        return uint64(_totalActiveStake.upperLookupRecent(uint96(blockNumber)));
    }

    function held() public view returns (uint256) {
        return (uint256(totalUnits) + rewardsUnits + sunkUnits) * UNIT;
    }

    function donated() external view returns (uint256) {
        uint256 balance = IERC20(TOKEN).balanceOf(address(this));
        return balance > held() ? balance - held() : 0;
    }

    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    function hashNodeKey(address owner, address node) public view returns (bytes32) {
        return _hashTypedDataV4(TypedData.hashNodeKey(owner, node));
    }

    // ---------------------------------------------------------------- private

    function _idOfCaller() private view returns (uint32 id) {
        id = operatorIdOf[msg.sender];
        if (id == 0) revert StakeManager_NotRegistered(msg.sender);
    }

    function _requireKnown(uint32 id) private view {
        if (_operators[id].owner == address(0)) revert StakeManager_UnknownId(id);
    }

    function _requireUnusedKey(address key) private view {
        bool used = _nodeKeys[key].operatorId != 0 || verifierOf[key] != 0 || _wasVerifierKey[key];
        if (key == address(0) || used) revert StakeManager_KeyUsed(key);
    }

    function _addStake(uint32 id, uint64 units) private {
        _operators[id].stakeUnits += units;
        _updateActiveStake(id);
    }

    /// @dev Takes from the stake first, then from what is unbonding.
    function _takeStake(uint32 id, uint64 units) private returns (uint64 stakeUnits) {
        Operator storage operator = _operators[id];
        stakeUnits = operator.stakeUnits;
        uint64 fromStake = units < stakeUnits ? units : stakeUnits;
        stakeUnits -= fromStake;
        operator.stakeUnits = stakeUnits;
        if (units > fromStake) operator.unbondingUnits -= units - fromStake;
        totalUnits -= units;
        _updateActiveStake(id);
    }

    function _unlock(uint32 id, uint64 units) private {
        Operator storage operator = _operators[id];
        if (units > operator.lockedUnits) revert StakeManager_NotLocked(id, operator.lockedUnits, units);
        operator.lockedUnits -= units;
    }

    function _activeUnits(Operator storage operator) private view returns (uint64) {
        return operator.isVerifier && operator.stakeUnits >= MIN_VERIFIER_STAKE ? operator.stakeUnits : 0;
    }

    /// @dev Records the active stake from this block on. A node operator's never counts.
    function _updateActiveStake(uint32 id) private {
        Operator storage operator = _operators[id];
        if (operator.hasNodeKeys) return;
        uint64 units = _activeUnits(operator);
        uint64 before = uint64(_activeStake[id].latest());
        if (units == before) return;
        uint160 total = _totalActiveStake.latest() - before + units;
        _activeStake[id].push(uint96(block.number), units);
        _totalActiveStake.push(uint96(block.number), total);
    }
}
