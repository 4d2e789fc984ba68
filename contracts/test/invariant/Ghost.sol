// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {TypedData} from "src/libraries/TypedData.sol";
import {Commitment, Lane, LeafProof, LeafStatus, Order, Outcomes} from "src/libraries/Types.sol";
import {EpochBuilder} from "../utils/EpochBuilder.sol";
import {Job} from "../utils/Job.sol";
import {vm} from "../utils/Vm.sol";

/// @notice What the handler does and remembers apart from the contracts: people, epochs, leaves and what became of them.
/// Every action either does something or finds nothing to do; `done` counts the first.
abstract contract Ghost is Job {
    using EpochBuilder for EpochBuilder.Draft;

    /// @dev A row that was posted, in one slot. `charged` and `refunded` count how often, `chargedAt` when.
    struct Leaf {
        uint64 epochId;
        uint32 index;
        uint16 group;
        uint16 row;
        uint64 amountUnits;
        uint40 chargedAt;
        uint8 charged;
        uint8 refunded;
        bool honest;
    }

    struct Work {
        Order order;
        Commitment commitment;
    }

    uint256 internal constant REQUESTERS = 3;
    uint256 internal constant TIP = 4000; // length of the handler's own beacon chain
    uint64 internal constant SMALL_BOND = 5e6; // about ten charges a window

    Leaf[] internal leaves;
    uint256[] internal again; // leaves of orders that were ordered more than once
    mapping(bytes32 digest => Work) internal works;
    mapping(uint64 epochId => bytes) internal drafts;
    mapping(uint64 epochId => bytes) internal skippedBits;
    mapping(uint64 epochId => uint256) internal firstLeaf;
    mapping(bytes32 laneKey => uint64) internal promised;
    mapping(address contract_ => uint256) public donatedWei;
    mapping(string action => uint256) public done;
    uint256 public chargedUnits;

    function setUp() public virtual override {
        super.setUp();
        vm.prank(settler);
        escrow.unbondSettler();
        pass(UNBOND);
        vm.prank(settler);
        escrow.withdrawBond();
        pay(settler, 1e15);
        vm.prank(settler);
        escrow.bondSettler(SMALL_BOND);
        bytes32 tip = beaconOf(0);
        vm.prank(governor);
        escrow.resetBeacon(tip);
        for (uint256 i = 0; i < REQUESTERS; ++i) {
            pay(addressOf(requesterName(i)), 1e15);
        }
        pay(alice, 1e15);
    }

    // ---------------------------------------------------------------- people

    function requesterName(uint256 i) internal pure returns (string memory) {
        return string.concat("requester", vm.toString(i % REQUESTERS));
    }

    /// @dev Even: the requester's own lane, odd: its session's.
    function signerName(uint256 i) internal pure returns (string memory) {
        return (i / REQUESTERS) % 2 == 0 ? requesterName(i) : string.concat("session", vm.toString(i % REQUESTERS));
    }

    function laneOf(uint256 i) internal view returns (Lane memory) {
        return lane(addressOf(requesterName(i)), addressOf(signerName(i)));
    }

    // ---------------------------------------------------------------- beacon

    function beaconOf(uint256 id) internal pure returns (bytes32 value) {
        value = keccak256("handler");
        for (uint256 i = id; i < TIP; ++i) {
            value = keccak256(abi.encode(value));
        }
    }

    function postRoot(bytes32 root, uint16 count) internal returns (uint64 id) {
        vm.roll(vm.getBlockNumber() + 3);
        id = escrow.lastEpoch() + 1;
        bytes32 beacon = beaconOf(id);
        vm.prank(settler);
        escrow.postEpoch(id, root, count, beacon, 0);
    }

    // ---------------------------------------------------------------- epochs

    function draftAt(uint64 id) internal view returns (EpochBuilder.Draft memory) {
        return abi.decode(drafts[id], (EpochBuilder.Draft));
    }

    function proofAt(Leaf memory leaf) internal view returns (LeafProof memory) {
        return draftAt(leaf.epochId).proofOf(leaf.epochId, leaf.group, leaf.row);
    }

    function outcomesAt(uint64 id) internal view returns (Outcomes memory) {
        return Outcomes(draftAt(id).voidBits(), skippedBits[id]);
    }

    function workOf(Leaf memory leaf) internal view returns (Work memory) {
        return works[draftAt(leaf.epochId).groups[leaf.group].rows[leaf.row].digest];
    }

    function statusOf(Leaf memory leaf) internal view returns (LeafStatus status) {
        (status,) = escrow.leafStatus(proofAt(leaf), outcomesAt(leaf.epochId));
    }

    /// @dev A lane group of one or two rows. One in four is not what was ordered, or charges an order again.
    function makeGroup(uint256 seed, uint256 who) internal returns (EpochBuilder.Group memory group) {
        group.requester = addressOf(requesterName(who));
        group.signer = addressOf(signerName(who));
        group.rows = new EpochBuilder.Row[](1 + seed % 2);
        for (uint256 i = 0; i < group.rows.length; ++i) {
            group.rows[i] = makeRow(uint256(keccak256(abi.encode(seed, i))), who);
        }
        bytes32 laneKey = keccak256(abi.encodePacked(group.requester, group.signer));
        uint64 cap = seed % 16 == 0 ? 1 : promised[laneKey];
        group.capProof = signCap(keyOf(signerName(who)), group.requester, cap);
    }

    function makeRow(uint256 seed, uint256 who) private returns (EpochBuilder.Row memory row) {
        Order memory made = order;
        made.requester = addressOf(requesterName(who));
        made.terms.salt = seed % 2 == 1 ? 0 : uint64(seed);
        made.terms.deadline = seed % 2 == 1 ? type(uint40).max : uint40(time() + 60);
        bytes32 orderId = escrow.hashOrder(made);
        bytes32 trace = TypedData.traceCommit(keccak256(abi.encode(seed)), orderId, node);
        Commitment memory delivered = Commitment(orderId, node, keccak256(output), trace, 40);
        row.digest = escrow.hashCommitment(delivered);
        row.amountUnits = AMOUNT + (seed % 4 == 2 ? uint48(1 + seed % 1000) : 0);
        promised[keccak256(abi.encodePacked(made.requester, addressOf(signerName(who))))] += row.amountUnits;
        works[row.digest] = Work(made, delivered);
    }

    function remember(uint64 id, EpochBuilder.Draft memory draft) internal {
        drafts[id] = abi.encode(draft);
        firstLeaf[id] = leaves.length;
        uint32 index = 0;
        for (uint16 g = 0; g < draft.groups.length; ++g) {
            for (uint16 i = 0; i < draft.groups[g].rows.length; ++i) {
                EpochBuilder.Row memory row = draft.groups[g].rows[i];
                if (works[row.digest].order.terms.salt == 0) again.push(leaves.length);
                leaves.push(Leaf(id, index++, g, i, row.amountUnits, 0, 0, 0, row.amountUnits == AMOUNT));
            }
        }
    }

    function noteCharge(Leaf storage leaf) internal {
        ++leaf.charged;
        leaf.chargedAt = uint40(time());
        chargedUnits += leaf.amountUnits;
    }

    // ---------------------------------------------------------------- what is asked of them

    function leafCount() external view returns (uint256) {
        return leaves.length;
    }

    function assertEachLeafOnce() external view {
        for (uint256 i = 0; i < leaves.length; ++i) {
            vm.assertTrue(leaves[i].charged <= 1, "charged twice");
            vm.assertTrue(leaves[i].refunded <= leaves[i].charged, "refunded twice, or uncharged");
        }
    }

    /// @notice All that was charged in the last window and not refunded, which is all that may be contested.
    function refundableUnits() external view returns (uint256 units) {
        for (uint256 i = 0; i < leaves.length; ++i) {
            Leaf memory leaf = leaves[i];
            bool recent = leaf.charged > 0 && leaf.chargedAt + CHARGE_WINDOW >= time();
            if (recent && leaf.refunded == 0) units += leaf.amountUnits;
        }
    }
}
