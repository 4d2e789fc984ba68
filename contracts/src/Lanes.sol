// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

import {IJobEscrow} from "./interfaces/IJobEscrow.sol";
import {Merkle} from "./libraries/Merkle.sol";
import {TypedData} from "./libraries/TypedData.sol";
import {CapProof, Lane, SkipReason, Totals} from "./libraries/Types.sol";
import {UnitToken} from "./libraries/UnitToken.sol";

/// @notice Documented in IJobEscrow: requesters' money, how it comes and goes, and what may be charged to it.
abstract contract Lanes is IJobEscrow, EIP712, Nonces, ReentrancyGuardTransient {
    using UnitToken for IERC20;

    address public immutable TOKEN;
    uint256 public immutable UNIT;
    uint256 public immutable NOTICE;
    uint256 public immutable NOTICE_LIFE;

    Totals internal _totals;
    mapping(bytes32 laneKey => Lane) private _lanes;
    bool public paused; // last, to share a slot with what JobEscrow reads with it

    constructor(address token, uint256 unit, uint256 notice, uint256 noticeLife)
        EIP712(TypedData.NAME, TypedData.VERSION)
    {
        TOKEN = token;
        UNIT = unit;
        NOTICE = notice;
        NOTICE_LIFE = noticeLife;
    }

    // ---------------------------------------------------------------- requesters

    function openLane(address signer, uint32 expiry, uint64 units) external nonReentrant {
        _openLane(msg.sender, signer, expiry, units);
    }

    function openLaneWithGrant(
        address requester,
        address signer,
        uint64 units,
        uint32 expiry,
        uint256 nonce,
        bytes calldata signature
    ) external nonReentrant {
        // Check:
        _useCheckedNonce(requester, nonce);
        bytes32 digest = hashLaneGrant(requester, signer, units, expiry, nonce);
        if (!_isGrantSigned(requester, digest, signature)) revert JobEscrow_GrantNotSigned(requester, digest);

        // Effect, Interaction:
        _openLane(requester, signer, expiry, units);
    }

    function deposit(address requester, address signer, uint64 units) external nonReentrant {
        _bookDeposit(msg.sender, requester, signer, units);
        IERC20(TOKEN).pull(UNIT, msg.sender, units);
    }

    function depositWithPermit(
        address requester,
        address signer,
        uint64 units,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external nonReentrant {
        // Somebody else may have used the permit first: then the allowance is there. If it is not, the deposit fails.
        try IERC20Permit(TOKEN).permit(msg.sender, address(this), units * UNIT, deadline, v, r, s) {} catch {}
        _bookDeposit(msg.sender, requester, signer, units);
        IERC20(TOKEN).pull(UNIT, msg.sender, units);
    }

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
    ) external nonReentrant {
        // The nonce names the lane, so that whoever submits the authorization cannot fund another one.
        bytes32 nonce = keccak256(abi.encode(requester, signer, salt));
        _bookDeposit(payer, requester, signer, units);
        IERC20(TOKEN)
            .pullAuthorized(UNIT, units, UnitToken.Authorization(payer, validAfter, validBefore, nonce, v, r, s));
    }

    function giveNotice(address signer) external {
        _lane(msg.sender, signer).noticeAt = uint32(block.timestamp);
        emit NoticeGiven(msg.sender, signer, uint32(block.timestamp));
    }

    function cancelNotice(address signer) external {
        _lane(msg.sender, signer).noticeAt = 0;
        emit NoticeCancelled(msg.sender, signer);
    }

    function withdraw(address signer, uint64 units, address to) external nonReentrant {
        Lane storage lane = _lane(msg.sender, signer);

        // Check:
        uint32 noticeAt = lane.noticeAt;
        uint256 maturesAt = noticeAt + NOTICE;
        bool mature = block.timestamp >= maturesAt && block.timestamp < maturesAt + NOTICE_LIFE;
        if (noticeAt == 0 || !mature) revert JobEscrow_NoticeNotMature(noticeAt, block.timestamp);
        if (units > lane.balanceUnits) revert JobEscrow_BalanceTooLow(lane.balanceUnits, units);

        // Effect:
        lane.balanceUnits -= units;
        lane.noticeAt = 0;
        _totals.balancesUnits -= units;
        emit Withdrawn(msg.sender, signer, to, units);

        // Interaction:
        IERC20(TOKEN).push(UNIT, to, units);
    }

    // ---------------------------------------------------------------- views

    function lanes(address requester, address signer) external view returns (Lane memory) {
        return _lane(requester, signer);
    }

    function totals() external view returns (Totals memory) {
        return _totals;
    }

    /// @inheritdoc IJobEscrow
    function nonces(address requester) public view override(IJobEscrow, Nonces) returns (uint256) {
        return super.nonces(requester);
    }

    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    function hashLaneGrant(address requester, address signer, uint64 units, uint32 expiry, uint256 nonce)
        public
        view
        returns (bytes32)
    {
        return _hashTypedDataV4(TypedData.hashLaneGrant(requester, signer, units, expiry, nonce));
    }

    // ---------------------------------------------------------------- lanes

    function _lane(address requester, address signer) internal view returns (Lane storage) {
        return _lanes[Merkle.laneKey(requester, signer)];
    }

    function _openLane(address requester, address signer, uint32 expiry, uint64 units) private {
        // Check:
        if (signer == address(0) || signer == requester) revert JobEscrow_NotASessionSigner(requester, signer);
        if (expiry <= block.timestamp) revert JobEscrow_ExpiryNotAhead(expiry, block.timestamp);

        // Effect:
        _lane(requester, signer).expiry = expiry;
        emit LaneOpened(requester, signer, expiry);
        if (units == 0) return;
        _bookDeposit(requester, requester, signer, units);

        // Interaction:
        IERC20(TOKEN).pull(UNIT, requester, units);
    }

    /// @dev Books a deposit; the caller makes the transfer next.
    function _bookDeposit(address payer, address requester, address signer, uint64 units) private {
        // Check:
        if (paused) revert JobEscrow_IsPaused();
        Lane storage lane = _lane(requester, signer);
        if (requester != signer && lane.expiry == 0) revert JobEscrow_LaneNotOpened(requester, signer);

        // Effect:
        _addBalance(lane, units);
        emit Deposited(requester, signer, payer, units);
    }

    /// @dev A key's signature counts whatever code its account has (EIP-7702); else the contract is asked, once.
    function _isGrantSigned(address requester, bytes32 digest, bytes calldata signature) private view returns (bool) {
        (address recovered, ECDSA.RecoverError failure,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (failure == ECDSA.RecoverError.NoError && recovered == requester) return true;
        return SignatureChecker.isValidERC1271SignatureNowCalldata(requester, digest, signature);
    }

    /// @dev Keeps all that is held below 2^64, so that no sum in a settlement can overflow.
    function _addBalance(Lane storage lane, uint64 units) internal {
        uint256 heldUnits = _heldUnits();
        if (heldUnits + units > type(uint64).max) revert JobEscrow_TooMuchHeld(heldUnits, units);
        lane.balanceUnits += units;
        _totals.balancesUnits += units;
    }

    function _heldUnits() internal view returns (uint256) {
        Totals memory totals_ = _totals;
        return uint256(totals_.balancesUnits) + totals_.creditsUnits + totals_.feesUnits;
    }

    /// @dev Charges a lane, or returns why not. Reads and writes the lane's slot once.
    function _charge(bytes32 laneKey, address requester, address signer, uint256 sumUnits, CapProof memory capProof)
        internal
        returns (SkipReason)
    {
        Lane storage lane = _lanes[laneKey];
        uint64 balanceUnits = lane.balanceUnits;
        uint64 capProvenUnits = lane.capProvenUnits;
        uint256 chargedUnits = lane.chargedUnits + sumUnits;
        uint256 expiry = lane.expiry;

        // Check:
        if (sumUnits > balanceUnits) return SkipReason.BALANCE;
        if (chargedUnits > capProvenUnits) {
            capProvenUnits = capProof.cap;
            if (chargedUnits > capProvenUnits) return SkipReason.CAP;
            if (!_isCapSigned(requester, signer, capProof)) return SkipReason.SIGNATURE;
        }
        if (expiry != 0 && block.timestamp > expiry + NOTICE) return SkipReason.EXPIRED;

        // Effect:
        lane.balanceUnits = balanceUnits - uint64(sumUnits);
        lane.chargedUnits = uint64(chargedUnits);
        lane.capProvenUnits = capProvenUnits;
        return SkipReason.NONE;
    }

    function _isCapSigned(address requester, address signer, CapProof memory proof) private view returns (bool) {
        bytes32 digest = _hashTypedDataV4(TypedData.hashOrder(requester, proof.cap, proof.termsHash));
        (address recovered, ECDSA.RecoverError failure,) = ECDSA.tryRecover(digest, proof.r, proof.vs);
        return failure == ECDSA.RecoverError.NoError && recovered == signer;
    }
}
