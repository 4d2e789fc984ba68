// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";
import {IJobEscrow} from "src/interfaces/IJobEscrow.sol";
import {vm} from "../utils/Vm.sol";
import {Rows} from "./Rows.sol";

/// @notice What requesters do: two keys and a contract wallet, with a session each, and the treasury.
abstract contract Requesters is Rows {
    bytes32 private constant PERMIT_TYPEHASH =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
    bytes32 private constant RECEIVE_TYPEHASH = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );
    uint256 private constant WRONG_NONCE = 0;
    uint256 private constant NOT_SIGNED = 1;
    uint256 private constant NO_FLAW = 8;

    // ---------------------------------------------------------------- money in

    function fundLane(uint256 seed) external turn {
        seed = mixed(seed);
        uint256 l = seed % LANES;
        uint64 units = uint64(1 + (seed >> 8) % 6e7);
        if (lanes[l].requester != lanes[l].signer && (seed >> 40) % 4 != 0) openLane(l, units, seed >> 48);
        else if ((seed >> 40) % 3 == 0 && l < 4) permitDeposit(l, units, (seed >> 48) % 2 == 0);
        else if ((seed >> 40) % 3 == 1 && l < 4) authorizedDeposit(l, units, (seed >> 48) % 4 == 0);
        else plainDeposit(l, units);
    }

    function plainDeposit(uint256 l, uint64 units) private {
        LaneBook storage lane_ = lanes[l];
        bytes memory data = abi.encodeCall(escrow.deposit, (lane_.requester, lane_.signer, units));
        if (attempt(lane_.requester, address(escrow), data, depositRefusal(l))) noteDeposit(l, units, "fund.deposit");
    }

    /// @dev Half of the permits were brought by somebody ahead of the requester; the standing allowance pays either way.
    function permitDeposit(uint256 l, uint64 units, bool ahead) private {
        address owner = lanes[l].requester;
        bytes memory data = permitData(l, units, ahead);
        bool done = attempt(owner, address(escrow), data, depositRefusal(l));
        vm.prank(owner);
        token.approve(address(escrow), type(uint256).max);
        if (done) noteDeposit(l, units, ahead ? bytes32("fund.permitFrontRun") : bytes32("fund.permit"));
    }

    function permitData(uint256 l, uint64 units, bool ahead) private returns (bytes memory) {
        address owner = lanes[l].requester;
        uint256 value = units * UNIT;
        uint256 forever = type(uint256).max;
        bytes32 terms =
            keccak256(abi.encode(PERMIT_TYPEHASH, owner, address(escrow), value, token.nonces(owner), forever));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(lanes[l - l % 2].key, tokenDigest(terms));
        if (ahead) token.permit(owner, address(escrow), value, forever, v, r, s);
        return abi.encodeCall(escrow.depositWithPermit, (owner, lanes[l].signer, units, forever, v, r, s));
    }

    /// @dev One in four relayers tries to send the money to another lane.
    function authorizedDeposit(uint256 l, uint64 units, bool redirected) private {
        bytes4 refusal = depositRefusal(l);
        if (redirected && !paused && !isUnopened(l)) {
            refusal = ERC3009.ERC3009InvalidSignature.selector;
            hit("fund.redirected");
        }
        bytes memory data = authorizationData(l, units, redirected);
        if (attempt(relayer, address(escrow), data, refusal)) noteDeposit(l, units, "fund.authorization");
    }

    function authorizationData(uint256 l, uint64 units, bool redirected) private view returns (bytes memory) {
        bytes32 digest = authorizationDigest(lanes[l], units, bytes32(turns));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(lanes[l - l % 2].key, digest);
        bytes32 salt = bytes32(redirected ? turns + 1 : turns);
        address owner = lanes[l].requester;
        return abi.encodeCall(
            escrow.depositWithAuthorization, (owner, owner, lanes[l].signer, units, 0, type(uint256).max, salt, v, r, s)
        );
    }

    function authorizationDigest(LaneBook storage lane_, uint64 units, bytes32 salt) private view returns (bytes32) {
        bytes32 nonce = keccak256(abi.encode(lane_.requester, lane_.signer, salt));
        (address from, uint256 value) = (lane_.requester, units * UNIT);
        return
            tokenDigest(
                keccak256(abi.encode(RECEIVE_TYPEHASH, from, address(escrow), value, 0, type(uint256).max, nonce))
            );
    }

    /// @dev By the requester's own call, or by the grant that it signed and somebody brings.
    function openLane(uint256 l, uint64 units, uint256 seed) private {
        LaneBook storage lane_ = lanes[l];
        uint32 expiry = uint32(time() + 1 + (seed >> 8) % ((seed >> 40) % 4 == 0 ? 300 : 1 days));
        bool granted = seed % 2 == 0;
        uint256 flaw = granted ? (seed >> 1) % 8 : NO_FLAW; // of eight grants one has a wrong nonce, one is a thief's
        bytes memory data = granted
            ? grantData(l, units, expiry, flaw)
            : abi.encodeCall(escrow.openLane, (lane_.signer, expiry, units));
        address caller = granted ? relayer : lane_.requester;
        if (!attempt(caller, address(escrow), data, openRefusal(lane_.requester, flaw))) return;
        lane_.expiry = expiry;
        bytes32 byGrant = l == 4 ? bytes32("fund.walletGrant") : bytes32("fund.grant");
        noteDeposit(l, units, granted ? byGrant : bytes32("fund.openLane"));
    }

    function grantData(uint256 l, uint64 units, uint32 expiry, uint256 flaw) private view returns (bytes memory) {
        (address requester, address signer) = (lanes[l].requester, lanes[l].signer);
        uint256 nonce = escrow.nonces(requester) + (flaw == WRONG_NONCE ? 1 : 0);
        bytes32 digest = escrow.hashLaneGrant(requester, signer, units, expiry, nonce);
        bytes memory signature = signedBy(flaw == NOT_SIGNED ? thief : grantKey(l), digest);
        return abi.encodeCall(escrow.openLaneWithGrant, (requester, signer, units, expiry, nonce, signature));
    }

    function openRefusal(address requester, uint256 flaw) private returns (bytes4) {
        if (flaw == WRONG_NONCE) {
            hit("grant.wrongNonce");
            return Nonces.InvalidAccountNonce.selector;
        }
        if (flaw == NOT_SIGNED) {
            hit("grant.notSigned");
            return IJobEscrow.JobEscrow_GrantNotSigned.selector;
        }
        return paused ? IJobEscrow.JobEscrow_IsPaused.selector : tokenRefusal(requester, address(escrow));
    }

    function noteDeposit(uint256 l, uint64 units, bytes32 branch) private {
        lanes[l].balance += units;
        move(lanes[l].requester, address(escrow), units);
        hit("fundLane");
        hit(branch);
    }

    function depositRefusal(uint256 l) private returns (bytes4 refusal) {
        if (paused) {
            hit("fund.paused");
            return IJobEscrow.JobEscrow_IsPaused.selector;
        }
        if (isUnopened(l)) {
            hit("fund.laneNotOpened");
            return IJobEscrow.JobEscrow_LaneNotOpened.selector;
        }
        refusal = tokenRefusal(lanes[l].requester, address(escrow));
        if (refusal != 0) hit("fund.blocked");
    }

    function isUnopened(uint256 l) private view returns (bool) {
        return lanes[l].requester != lanes[l].signer && lanes[l].expiry == 0;
    }

    /// @dev Who signs for the lane's requester: the contract wallet's owner, or the requester itself.
    function grantKey(uint256 l) private pure returns (uint256) {
        return l == 4 ? keyOf("wallet") : l == 1 ? keyOf("requester0") : keyOf("requester1");
    }

    function tokenDigest(bytes32 terms) private view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), terms));
    }

    function signedBy(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    // ---------------------------------------------------------------- money out

    /// @notice Gives notice on two lanes; one notice in eight is called off.
    function giveNotice(uint256 seed) external turn {
        seed = mixed(seed);
        giveNoticeOn(lanes[seed % LANES], seed);
        giveNoticeOn(lanes[(seed + 1) % LANES], seed >> 32);
    }

    function giveNoticeOn(LaneBook storage lane_, uint256 seed) private {
        bool cancels = lane_.noticeAt != 0 && (seed >> 8) % 8 == 0;
        if (lane_.noticeAt != 0 && !cancels && time() < lane_.noticeAt + NOTICE + NOTICE_LIFE) return;
        bytes memory data = cancels
            ? abi.encodeCall(escrow.cancelNotice, (lane_.signer))
            : abi.encodeCall(escrow.giveNotice, (lane_.signer));
        attempt(lane_.requester, address(escrow), data, 0);
        lane_.noticeAt = cancels ? 0 : uint32(time());
        hit(cancels ? bytes32("notice.cancelled") : bytes32("giveNotice"));
    }

    /// @notice Withdraws from lanes whose notice is mature, waits for that, or tries all the same. Who is blocked by the token has
    /// the money sent elsewhere.
    function withdraw(uint256 seed) external turn {
        seed = mixed(seed);
        uint256 l = seed % LANES;
        for (uint256 i = 0; i < LANES && lanes[l].noticeAt == 0; ++i) {
            l = (l + 1) % LANES;
        }
        uint256 maturesAt = lanes[l].noticeAt + NOTICE;
        if (lanes[l].noticeAt != 0 && time() < maturesAt && (seed >> 8) % 4 == 0) vm.warp(maturesAt);
        for (uint256 i = 0; i < LANES; ++i) {
            if (i == l || isMature(lanes[i])) withdrawFrom(lanes[i], seed >> (16 + 16 * i));
        }
    }

    function isMature(LaneBook storage lane_) private view returns (bool) {
        uint256 maturesAt = lane_.noticeAt + NOTICE;
        return lane_.noticeAt != 0 && time() >= maturesAt && time() < maturesAt + NOTICE_LIFE;
    }

    function withdrawFrom(LaneBook storage lane_, uint256 seed) private {
        uint64 units = seed % 8 == 0 ? lane_.balance + 1 : lane_.balance / 2;
        address to = (seed >> 8) % 4 == 0 ? elsewhere : lane_.requester;
        bytes4 refusal = firstOf(withdrawRefusal(lane_, units), tokenRefusal(address(escrow), to));
        bytes memory data = abi.encodeCall(escrow.withdraw, (lane_.signer, units, to));
        if (!attempt(lane_.requester, address(escrow), data, refusal)) return;
        lane_.balance -= units;
        lane_.noticeAt = 0;
        move(address(escrow), to, units);
        hit("withdraw");
        if (paused) hit("withdraw.paused");
    }

    function withdrawRefusal(LaneBook storage lane_, uint64 units) private returns (bytes4) {
        if (!isMature(lane_)) {
            bool expired = lane_.noticeAt != 0 && time() > lane_.noticeAt + NOTICE;
            hit(expired ? bytes32("withdraw.expired") : bytes32("withdraw.early"));
            return IJobEscrow.JobEscrow_NoticeNotMature.selector;
        }
        if (units <= lane_.balance) return 0;
        hit("withdraw.tooMuch");
        return IJobEscrow.JobEscrow_BalanceTooLow.selector;
    }
}
