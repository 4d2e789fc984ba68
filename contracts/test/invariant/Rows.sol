// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Merkle} from "src/libraries/Merkle.sol";
import {TypedData} from "src/libraries/TypedData.sol";
import {CapProof, Commitment, LeafProof, Order, Outcomes, SkipReason} from "src/libraries/Types.sol";
import {EpochBuilder} from "../utils/EpochBuilder.sol";
import {vm} from "../utils/Vm.sol";
import {Ghost} from "./Ghost.sol";

/// @notice The campaign's rows: what is behind each, their proofs, and the packed epoch that charges them.
abstract contract Rows is Ghost {
    /// @dev What a settlement should do. The lanes are copies: they become true when the contract has accepted.
    struct Plan {
        bytes groups;
        uint256 voidSet;
        uint256 skippedSet;
        uint64 charged;
        uint64[3][LANES] lanes; // balance, charged, capProven
        uint64[ACCOUNTS] gross;
    }

    bytes internal constant OUTPUT = hex"00000001000000020000000700000002";
    bytes32 internal constant OUTPUT_ROOT = 0xdda66d4eb3cb0f83383688cf3e9fe856185dce119fa93a2af43630329cb46ad5;

    // ---------------------------------------------------------------- behind a row

    function orderOf(LeafBook storage leaf) internal view returns (Order memory ordered) {
        uint16 kind = leaf.kind;
        ordered.requester = lanes[leaf.lane].requester;
        ordered.spendCap = leaf.cap;
        ordered.terms.comparator = kind & NATIVE == 0 ? 1 : 2;
        ordered.terms.copies = 1;
        ordered.terms.visibility = kind & RESTRICTED == 0 ? 0 : 1;
        ordered.terms.fixedPrice = 100_000;
        ordered.terms.unitPrice = 10_000;
        ordered.terms.maxPrice = kind & HUGE == 0 ? MAX_PRICE : HUGE_PRICE;
        ordered.terms.deadline = leaf.deadline;
        ordered.terms.salt = kind & REPEATED == 0 ? leaf.salt : 0;
    }

    function traceOf(LeafBook storage leaf, uint8 answer) internal view returns (bytes32) {
        return keccak256(abi.encode(answer, leaf.salt));
    }

    function commitmentOf(LeafBook storage leaf) internal view returns (Commitment memory) {
        bytes32 orderId = contests.hashOrder(orderOf(leaf));
        address node = nodes[leaf.account];
        bytes32 trace = traceOf(leaf, leaf.kind & WRONG == 0 ? TRUTH : LIE);
        return Commitment(orderId, node, OUTPUT_ROOT, TypedData.traceCommit(trace, orderId, node), 40);
    }

    function proofOf(uint256 i) internal view returns (LeafProof memory) {
        LeafBook storage leaf = leafBooks[i];
        LaneBook storage paying = lanes[leaf.lane];
        bytes32[] memory siblings = EpochBuilder.siblings(epochBooks[leaf.epochId].nodes, leaf.index);
        return LeafProof(
            leaf.epochId,
            leaf.index,
            paying.requester,
            paying.signer,
            accounts[leaf.account].id,
            leaf.amount,
            leaf.digest,
            siblings
        );
    }

    function caseIdOf(uint256 i) internal view returns (bytes32) {
        LeafBook storage leaf = leafBooks[i];
        LaneBook storage paying = lanes[leaf.lane];
        return keccak256(
            abi.encode(
                leaf.epochId,
                leaf.index,
                paying.requester,
                paying.signer,
                accounts[leaf.account].id,
                leaf.amount,
                leaf.digest
            )
        );
    }

    function outcomesOf(uint64 id) internal view returns (Outcomes memory) {
        EpochBook storage epoch = epochBooks[id];
        return Outcomes(bitmap(epoch.voidSet, epoch.count), bitmap(epoch.skippedSet, epoch.count));
    }

    function bitmap(uint256 set, uint256 count) internal pure returns (bytes memory bits) {
        bits = new bytes((count + 7) / 8);
        for (uint256 i = 0; i < bits.length; ++i) {
            bits[i] = bytes1(uint8(set >> 8 * i));
        }
    }

    // ---------------------------------------------------------------- making rows

    /// @notice Three to five lane groups of three rows, one group in four of two.
    function makeEpoch(uint256 seed) internal returns (EpochBook storage epoch, uint64 id) {
        id = lastEpoch + 1;
        epoch = epochBooks[id];
        epoch.firstLeaf = uint32(leafBooks.length);
        uint256 groups = 3 + seed % 3;
        for (uint256 g = 0; g < groups; ++g) {
            uint256 groupSeed = uint256(keccak256(abi.encode(seed, g)));
            uint8 paying = uint8(groupSeed % LANES);
            for (uint256 r = 0; r < ((groupSeed >> 8) % 4 == 0 ? 2 : 3); ++r) {
                makeRow(epoch, id, paying, uint256(keccak256(abi.encode(groupSeed, r))));
            }
        }
        epoch.count = uint16(leafBooks.length - epoch.firstLeaf);
    }

    function makeRow(EpochBook storage epoch, uint64 id, uint8 paying, uint256 seed) private {
        LeafBook storage leaf = leafBooks.push();
        bool check = paying == TREASURY_LANE;
        leaf.epochId = id;
        leaf.index = uint8(epoch.nodes.length);
        leaf.lane = paying;
        leaf.account = uint8(check ? 2 + seed % VERIFIERS : seed % 2);
        leaf.kind = check ? CHECK : kindOf(seed >> 16, leaf.account);
        leaf.amount = AMOUNT + (leaf.kind & OVERPRICED == 0 ? 0 : uint48(1 + seed % 1000));
        leaf.salt = uint64(leafBooks.length);
        leaf.cap = promise_(leaf);
        leaf.deadline = deadlineOf(leaf.kind);
        leaf.digest = check ? keccak256(abi.encode("verdict", leaf.salt)) : contests.hashCommitment(commitmentOf(leaf));
        LaneBook storage lane_ = lanes[paying];
        bytes32 laneKey = Merkle.laneKey(lane_.requester, lane_.signer);
        epoch.nodes.push(Merkle.leaf(laneKey, accounts[leaf.account].id, leaf.amount, leaf.digest));
    }

    /// @dev A third of the rows are ordinary work, a third repeat an order, a third are odd; the lying node's trace is wrong in one of two.
    function kindOf(uint256 seed, uint256 account) private pure returns (uint16 kind) {
        if (account == 1 && seed % 2 == 0) kind |= WRONG;
        uint16[8] memory odd = [OVERPRICED, INVENTED, LATE, WITHHELD, RESTRICTED, NATIVE, HUGE, REPEATED];
        if ((seed >> 8) % 3 == 0) kind |= odd[(seed >> 16) % 8];
        if ((seed >> 8) % 3 == 1) kind |= REPEATED;
        if ((seed >> 24) % 16 == 0) kind |= RESTRICTED | WITHHELD;
        if (account == 0 && (seed >> 32) % 8 == 0) kind |= HUGE;
    }

    /// @dev A client signs what its lane was charged, all that is open and this. One order repeated stays one order.
    function promise_(LeafBook storage leaf) private returns (uint64 cap) {
        if (leaf.kind & REPEATED != 0) return 1;
        LaneBook storage paying = lanes[leaf.lane];
        cap = (paying.capSigned > paying.charged ? paying.capSigned : paying.charged) + MAX_PRICE;
        if (leaf.kind & INVENTED == 0) paying.capSigned = cap;
    }

    function deadlineOf(uint16 kind) private view returns (uint40) {
        if (kind & REPEATED != 0) return type(uint40).max;
        return uint40(kind & LATE == 0 ? time() + 60 : time() - 61);
    }

    // ---------------------------------------------------------------- settling rows

    /// @notice What settling the epoch with these void rows should do, by SPEC sections 5 and 6.
    function planOf(uint64 id, uint256 voidSet, uint256 seed) internal view returns (Plan memory plan) {
        plan.voidSet = voidSet;
        for (uint256 l = 0; l < LANES; ++l) {
            plan.lanes[l] = [lanes[l].balance, lanes[l].charged, lanes[l].capProven];
        }
        EpochBook storage epoch = epochBooks[id];
        uint256 row = 0;
        while (row < epoch.count) {
            uint256 rows = 1;
            uint256 first = epoch.firstLeaf + row;
            while (row + rows < epoch.count && leafBooks[first + rows].lane == leafBooks[first].lane) ++rows;
            planGroup(plan, first, rows, uint256(keccak256(abi.encode(seed, row))));
            row += rows;
        }
    }

    function planGroup(Plan memory plan, uint256 first, uint256 rows, uint256 seed) private view {
        uint8 paying = leafBooks[first].lane;
        bytes memory packed;
        uint64 sum = 0;
        for (uint256 i = first; i < first + rows; ++i) {
            LeafBook storage leaf = leafBooks[i];
            packed = bytes.concat(packed, abi.encodePacked(uint16(leaf.account), leaf.amount, leaf.digest));
            if ((plan.voidSet >> leaf.index) & 1 == 0) sum += leaf.amount;
        }
        (CapProof memory proof, bool genuine) = capFor(first, rows, seed);
        plan.groups = bytes.concat(plan.groups, headOf(paying, proof, rows), packed);
        SkipReason reason = chargePlan(plan.lanes[paying], paying, sum, proof.cap, genuine);
        if (reason == SkipReason.NONE) plan.charged += sum;
        for (uint256 i = first; i < first + rows; ++i) {
            LeafBook storage leaf = leafBooks[i];
            if (reason != SkipReason.NONE) plan.skippedSet |= 1 << leaf.index;
            else if ((plan.voidSet >> leaf.index) & 1 == 0) plan.gross[leaf.account] += leaf.amount;
        }
    }

    function headOf(uint8 paying, CapProof memory proof, uint256 rows) private view returns (bytes memory head) {
        head = abi.encodePacked(lanes[paying].requester, lanes[paying].signer, proof.cap);
        if (proof.cap > 0) head = abi.encodePacked(head, proof.termsHash, proof.r, proof.vs);
        head = abi.encodePacked(head, uint16(rows));
    }

    /// @notice Charges a copy of a lane, unless one of SPEC's four reasons holds, the first of them.
    function chargePlan(uint64[3] memory books, uint8 paying, uint64 sum, uint64 cap, bool genuine)
        internal
        view
        returns (SkipReason)
    {
        if (sum > books[0]) return SkipReason.BALANCE;
        uint64 charged = books[1] + sum;
        if (charged > books[2] && charged > cap) return SkipReason.CAP;
        if (charged > books[2] && !genuine) return SkipReason.SIGNATURE;
        uint32 expiry = lanes[paying].expiry;
        if (expiry != 0 && time() > expiry + NOTICE) return SkipReason.EXPIRED;
        if (charged > books[2]) books[2] = cap;
        (books[0], books[1]) = (books[0] - sum, charged);
        return SkipReason.NONE;
    }

    /// @notice The newest order among the rows, as its signer signed it, or an older one of the lane's; one in sixteen times none,
    /// one in sixteen a thief's.
    function capFor(uint256 first, uint256 rows, uint256 seed) internal view returns (CapProof memory, bool genuine) {
        if (seed % 16 == 0) return (noCap(), false);
        LaneBook storage paying = lanes[leafBooks[first].lane];
        if (seed % 16 == 1) return (signCap(thief, paying.requester, type(uint64).max), false);
        for (uint256 i = first + rows; i > first; --i) {
            LeafBook storage leaf = leafBooks[i - 1];
            if (leaf.kind & (CHECK | INVENTED | REPEATED) == 0) return (voucherOf(leaf), true);
        }
        if (paying.capSigned == 0) return (noCap(), false);
        return (signCap(paying.key, paying.requester, paying.capSigned), true);
    }

    function voucherOf(LeafBook storage leaf) private view returns (CapProof memory) {
        Order memory ordered = orderOf(leaf);
        (bytes32 r, bytes32 vs) = signCompact(lanes[leaf.lane].key, contests.hashOrder(ordered));
        return CapProof(ordered.spendCap, contests.hashTerms(ordered.terms), r, vs);
    }

    function signCompact(uint256 key, bytes32 digest) internal pure returns (bytes32 r, bytes32 vs) {
        (uint8 v, bytes32 r_, bytes32 s) = vm.sign(key, digest);
        return (r_, bytes32(uint256(s) | uint256(v - 27) << 255));
    }

    function packedOf(uint64 id, Plan memory plan) internal view returns (bytes memory head) {
        head = abi.encodePacked(uint16(ACCOUNTS));
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            head = abi.encodePacked(head, accounts[i].id);
        }
        return bytes.concat(head, bitmap(plan.voidSet, epochBooks[id].count), plan.groups);
    }
}
