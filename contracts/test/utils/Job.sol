// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {PackedWords} from "src/libraries/PackedWords.sol";
import {TypedData} from "src/libraries/TypedData.sol";
import {CapProof, Commitment, LeafProof, Order, Outcomes} from "src/libraries/Types.sol";
import {EpochBuilder} from "./EpochBuilder.sol";
import {Network} from "./Network.sol";
import {vm} from "./Vm.sol";

/// @notice A network with one operator, its node, and an order of alice's that the node delivered.
abstract contract Job is Network {
    using EpochBuilder for EpochBuilder.Draft;

    uint64 internal constant FUNDS = 1e9;
    uint64 internal constant MAX_PRICE = 1e6;
    uint48 internal constant AMOUNT = 500_000; // fixed 100,000 and 40 units of 10,000

    address internal alice = addressOf("alice");
    address internal node = addressOf("node");
    bytes internal output = hex"00000001000000020000000700000002"; // one text, answered by the ids 7 and 2
    uint32 internal operator;
    Order internal order;
    Commitment internal commitment;

    function setUp() public virtual override {
        super.setUp();
        operator = registerOperator("operator", STAKE);
        addNode("operator", "node");
        fund(alice, alice, FUNDS);
        order.requester = alice;
        order.spendCap = FUNDS;
        order.terms.comparator = 1;
        order.terms.copies = 1;
        order.terms.fixedPrice = 100_000;
        order.terms.unitPrice = 10_000;
        order.terms.maxPrice = MAX_PRICE;
        order.terms.deadline = uint40(time() + 100);
        commitment = deliver("first");
    }

    function addNode(string memory owner, string memory node_) internal {
        address nodeAt = addressOf(node_);
        bytes memory signature = sign(node_, stakes.hashNodeKey(addressOf(owner), nodeAt));
        vm.prank(addressOf(owner));
        stakes.addNodeKey(nodeAt, signature);
    }

    /// @notice The node's commitment to the output for the present order; another trace, another commitment.
    function deliver(string memory trace) internal view returns (Commitment memory) {
        bytes32 orderId = contests.hashOrder(order);
        bytes32 traceCommit = TypedData.traceCommit(keccak256(bytes(trace)), orderId, node);
        return Commitment(orderId, node, outputRoot(), traceCommit, 40);
    }

    /// @notice The order as the voucher that proves its lane's cap.
    function orderProof() internal view returns (CapProof memory) {
        (bytes32 r, bytes32 vs) = signCompact("alice", contests.hashOrder(order));
        return CapProof(order.spendCap, contests.hashTerms(order.terms), r, vs);
    }

    function outputRoot() internal view returns (bytes32) {
        return this.rootOf(output);
    }

    function rootOf(bytes calldata packed) external pure returns (bytes32) {
        return PackedWords.rootOf(packed);
    }

    function jobDraft() internal view returns (EpochBuilder.Draft memory) {
        return jobDraft(commitment, AMOUNT);
    }

    /// @notice One row in alice's lane.
    function jobDraft(Commitment memory delivered, uint48 amount)
        internal
        view
        returns (EpochBuilder.Draft memory draft)
    {
        draft = draftOf("alice", operator, amount);
        draft.groups[0].capProof = orderProof();
        draft.groups[0].rows[0].digest = contests.hashCommitment(delivered);
    }

    function outcomesOf(EpochBuilder.Draft memory draft) internal pure returns (Outcomes memory) {
        bytes memory voidBits = draft.voidBits();
        return Outcomes(voidBits, new bytes(voidBits.length));
    }

    /// @notice Posts and settles one row.
    function charge(EpochBuilder.Draft memory draft)
        internal
        returns (LeafProof memory proof, Outcomes memory outcomes)
    {
        uint64 id = postAndSettle(draft);
        return (draft.proofOf(id, 0, 0), outcomesOf(draft));
    }
}
