// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {Lanes} from "./Lanes.sol";
import {IStakeManager} from "./interfaces/IStakeManager.sol";
import {ChargeWindow} from "./libraries/ChargeWindow.sol";
import {PackedEpoch} from "./libraries/PackedEpoch.sol";
import {Epoch, EpochStatus, OperatorCredit, SettlerBond, SkipReason} from "./libraries/Types.sol";
import {UnitToken} from "./libraries/UnitToken.sol";

/// @notice Documented in IJobEscrow: epochs that are posted and settled whole, the settler and its bond.
abstract contract Epochs is Lanes {
    using ChargeWindow for SettlerBond;
    using UnitToken for IERC20;

    uint256 private constant ONE_BPS = 10_000;

    address public immutable TREASURY;
    address public immutable STAKE_MANAGER;
    address public immutable COURT;
    address public immutable CONTESTS;
    address public immutable GOVERNOR;
    address public immutable GUARDIAN;
    uint256 public immutable FEE_BPS;
    uint256 public immutable ORDER_TTL;
    uint256 public immutable EPOCH_MAX;
    uint256 public immutable SEED_BLOCKS;
    uint256 public immutable CHECK_WAIT;
    uint256 public immutable SETTLE_WAIT;
    uint256 public immutable CHARGE_WINDOW;

    address public settler;
    uint64 public lastEpoch;
    bytes32 public tip;

    SettlerBond internal _settlerBond;
    mapping(uint64 id => Epoch) internal _epochs;
    mapping(uint32 operatorId => OperatorCredit) internal _operators;

    modifier onlySettler() {
        if (msg.sender != settler) revert JobEscrow_NotSettler(msg.sender);
        _;
    }

    modifier onlyGovernor() {
        if (msg.sender != GOVERNOR) revert JobEscrow_NotGovernor(msg.sender);
        _;
    }

    constructor(Params memory params) Lanes(params.token, params.unit, params.notice, params.noticeLife) {
        bool complete = params.token != address(0) && params.settler != address(0) && params.treasury != address(0)
            && params.governor != address(0) && params.guardian != address(0) && params.unit != 0;
        if (!complete) revert JobEscrow_MissingParam();
        if (params.feeBps > ONE_BPS) revert JobEscrow_FeeAboveOne(params.feeBps);
        uint256 openUntilChecked = params.epochMax + params.checkWait;
        if (params.settleWait <= openUntilChecked) {
            revert JobEscrow_SettleWaitTooShort(params.settleWait, openUntilChecked);
        }
        uint256 orderUntilStranded = params.orderTtl + params.epochMax + params.settleWait;
        if (params.notice <= orderUntilStranded) revert JobEscrow_NoticeTooShort(params.notice, orderUntilStranded);

        settler = params.settler;
        TREASURY = params.treasury;
        STAKE_MANAGER = params.stakeManager;
        COURT = params.court;
        CONTESTS = params.contests;
        GOVERNOR = params.governor;
        GUARDIAN = params.guardian;
        FEE_BPS = params.feeBps;
        ORDER_TTL = params.orderTtl;
        EPOCH_MAX = params.epochMax;
        SEED_BLOCKS = params.seedBlocks;
        CHECK_WAIT = params.checkWait;
        SETTLE_WAIT = params.settleWait;
        CHARGE_WINDOW = params.chargeWindow;
        tip = params.tip;
    }

    // ---------------------------------------------------------------- settler

    function postEpoch(uint64 id, bytes32 root, uint16 count, bytes32 beacon, bytes32 logRoot) external onlySettler {
        // Check:
        uint64 previousId = lastEpoch;
        if (id != previousId + 1) revert JobEscrow_WrongEpochId(id, previousId + 1);
        if (keccak256(abi.encode(beacon)) != tip) revert JobEscrow_WrongBeacon(beacon, tip);
        Epoch storage previous = _epochs[previousId];
        uint256 seedBlock = previous.postedBlock + SEED_BLOCKS;
        if (previous.count != 0 && block.number <= seedBlock) revert JobEscrow_SeedBlockAhead(block.number, seedBlock);
        if ((root == 0) != (count == 0)) revert JobEscrow_RootAndCountDiffer(root, count);
        if (count != 0) _requireRowsMayBePosted();

        // Effect:
        tip = beacon;
        lastEpoch = id;
        _epochs[id] = Epoch({
            root: root, count: count, postedAt: uint40(block.timestamp), postedBlock: uint40(block.number), outcomes: 0
        });
        emit EpochPosted(id, root, count, beacon, logRoot);
    }

    function settleEpoch(uint64 id, bytes calldata packed) external onlySettler {
        // Check:
        // The transaction's data is the record of the rows; an account with code (EIP-7702) need not show them there.
        bool direct = msg.sender == tx.origin && msg.sender.code.length == 0;
        if (!direct) revert JobEscrow_NotDirect(msg.sender);
        Epoch storage epoch = _epochs[id];
        _requireSettleable(id, epoch);

        // Effect:
        PackedEpoch.Reader memory reader = PackedEpoch.open(packed, epoch.count);
        uint256 chargedUnits = _chargeLanes(id, packed, reader);
        bytes32 root = PackedEpoch.close(packed, reader);
        if (root != epoch.root) revert JobEscrow_WrongRoot(root, epoch.root);
        uint256 feeUnits = _creditOperators(reader);
        _book(chargedUnits, feeUnits);
        bytes calldata voidBits = PackedEpoch.voidBits(packed, reader);
        epoch.outcomes = _hashOutcomes(voidBits, reader.skippedBits);
        emit EpochSettled(id, uint64(chargedUnits), uint64(feeUnits), voidBits, reader.skippedBits);
    }

    function bondSettler(uint64 units) external nonReentrant {
        // Effect:
        _settlerBond.bondUnits += units;
        if (msg.sender == settler) _settlerBond.unbondAt = 0;
        emit SettlerBonded(msg.sender, units, _settlerBond.bondUnits);

        // Interaction:
        IERC20(TOKEN).pull(UNIT, msg.sender, units);
    }

    function unbondSettler() external onlySettler {
        _settlerBond.unbondAt = uint32(block.timestamp);
        emit SettlerUnbonding(uint32(block.timestamp));
    }

    function withdrawBond() external onlySettler nonReentrant {
        // Check:
        uint32 unbondAt = _settlerBond.unbondAt;
        uint256 endsAt = unbondAt + IStakeManager(STAKE_MANAGER).UNBOND();
        if (unbondAt == 0 || block.timestamp < endsAt) revert JobEscrow_BondLocked(unbondAt, block.timestamp);
        uint256 spentUnits = _settlerBond.spentUnits(CHARGE_WINDOW);
        if (spentUnits != 0) revert JobEscrow_ChargedLately(spentUnits);

        // Effect:
        uint64 units = _settlerBond.bondUnits;
        _settlerBond.bondUnits = 0;
        emit SettlerUnbonded(units);

        // Interaction:
        IERC20(TOKEN).push(UNIT, TREASURY, units);
    }

    // ---------------------------------------------------------------- guardian, governor

    function pause() external {
        // Check:
        if (msg.sender != GUARDIAN) revert JobEscrow_NotGuardian(msg.sender);

        // Effect:
        paused = true;
        emit Paused();
    }

    function unpause() external {
        // Check:
        if (msg.sender != GUARDIAN && msg.sender != GOVERNOR) revert JobEscrow_NotGuardian(msg.sender);

        // Effect:
        paused = false;
        emit Unpaused(msg.sender);
    }

    function setSettler(address newSettler) external onlyGovernor {
        // Check:
        if (newSettler == address(0)) revert JobEscrow_MissingParam();

        // Effect:
        emit SettlerChanged(settler, newSettler);
        settler = newSettler;
        _settlerBond.unbondAt = 0;
    }

    function resetBeacon(bytes32 newTip) external onlyGovernor {
        // Check:
        uint64 id = lastEpoch;
        bool seedMatters = _epochs[id].count != 0 && epochStatus(id) != EpochStatus.STRANDED;
        if (seedMatters) revert JobEscrow_SeedIsPending(id);

        // Effect:
        tip = newTip;
        emit BeaconReset(newTip);
    }

    // ---------------------------------------------------------------- views

    function epochs(uint64 id) external view returns (Epoch memory) {
        return _epochs[id];
    }

    function epochStatus(uint64 id) public view returns (EpochStatus) {
        Epoch storage epoch = _epochs[id];
        if (epoch.postedAt == 0) return EpochStatus.OPEN;
        if (epoch.outcomes != 0) return EpochStatus.SETTLED;
        if (block.timestamp > epoch.postedAt + SETTLE_WAIT) return EpochStatus.STRANDED;
        return id < lastEpoch ? EpochStatus.REVEALED : EpochStatus.POSTED;
    }

    function operators(uint32 id) external view returns (OperatorCredit memory) {
        return _operators[id];
    }

    function settlerBond() external view returns (SettlerBond memory) {
        return _settlerBond;
    }

    // ---------------------------------------------------------------- settlement

    function _requireRowsMayBePosted() private view {
        if (paused) revert JobEscrow_IsPaused();
        uint32 unbondAt = _settlerBond.unbondAt;
        if (unbondAt != 0) revert JobEscrow_SettlerIsUnbonding(unbondAt);
    }

    function _requireSettleable(uint64 id, Epoch storage epoch) private view {
        if (epoch.outcomes != 0) revert JobEscrow_AlreadySettled(id);
        uint256 strandedAt = epoch.postedAt + SETTLE_WAIT;
        if (block.timestamp > strandedAt) revert JobEscrow_EpochStranded(id, block.timestamp, strandedAt);
        uint256 revealedAt = _epochs[id + 1].postedAt;
        uint256 checkedAt = revealedAt + CHECK_WAIT;
        if (revealedAt == 0 || block.timestamp < checkedAt) {
            revert JobEscrow_CheckPeriodRuns(id, block.timestamp, checkedAt);
        }
    }

    function _chargeLanes(uint64 id, bytes calldata packed, PackedEpoch.Reader memory reader)
        private
        returns (uint256 chargedUnits)
    {
        PackedEpoch.Group memory group;
        while (reader.row < reader.count) {
            PackedEpoch.next(packed, reader, group);
            SkipReason reason = _charge(group.laneKey, group.requester, group.signer, group.sumUnits, group.capProof);
            if (reason == SkipReason.NONE) {
                chargedUnits += group.sumUnits;
            } else {
                PackedEpoch.skip(packed, reader, group);
                emit LaneSkipped(id, group.requester, group.signer, reason, uint64(group.sumUnits));
            }
        }
    }

    function _creditOperators(PackedEpoch.Reader memory reader) private returns (uint256 feeUnits) {
        for (uint256 i = 0; i < reader.nOps; ++i) {
            (uint32 operatorId, uint256 grossUnits) = PackedEpoch.tallyOf(reader, i);
            if (grossUnits > 0) feeUnits += _credit(operatorId, grossUnits);
        }
    }

    function _credit(uint32 operatorId, uint256 grossUnits) internal returns (uint256 feeUnits) {
        feeUnits = grossUnits * FEE_BPS / ONE_BPS;
        OperatorCredit storage credit = _operators[operatorId];
        unchecked {
            credit.earnedUnits += uint64(grossUnits - feeUnits);
        }
    }

    /// @dev Books charges as credits and fees. Reverts if they exceed what the settler's bond covers.
    function _book(uint256 chargedUnits, uint256 feeUnits) internal {
        _settlerBond.spend(chargedUnits, CHARGE_WINDOW);
        uint64 creditsUnits = _totals.creditsUnits + uint64(chargedUnits - feeUnits);
        uint64 feesUnits = _totals.feesUnits + uint64(feeUnits);
        _totals.balancesUnits -= uint64(chargedUnits);
        _totals.creditsUnits = creditsUnits;
        _totals.feesUnits = feesUnits;
    }

    function _hashOutcomes(bytes calldata voidBits, bytes memory skippedBits) internal pure returns (uint160) {
        return uint160(uint256(keccak256(abi.encodePacked(voidBits, skippedBits))));
    }
}
