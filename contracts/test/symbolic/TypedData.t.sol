// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {TypedData} from "src/libraries/TypedData.sol";
import {Commitment, Order, Terms, Verdict} from "src/libraries/Types.sol";
import {Symbolic} from "./Symbolic.sol";

/// @notice What the escrow and the stake manager hash is EIP-712, written out: domain, type, every field in its own word.
/// Covers: A17, A18. Bounds: none.
contract TypedDataProof is Symbolic {
    string private constant PARAMS = "Params(uint32 maxNewTokens,uint32 temperatureMilli,uint32 topPPpm,uint64 seed)";
    string private constant TERMS =
        "Terms(bytes32 workloadId,bytes32 promptRoot,bytes32 textsHash,Params params,uint8 comparator,uint8 copies,uint8 visibility,uint64 fixedPrice,uint64 unitPrice,uint64 maxPrice,uint40 deadline,uint64 salt)";

    function check_order_isEip712(Order memory order) public view {
        bytes32 typeHash =
            keccak256(abi.encodePacked("Order(address requester,uint64 spendCap,Terms terms)", PARAMS, TERMS));
        bytes32 structHash = keccak256(
            abi.encode(typeHash, uint256(uint160(order.requester)), uint256(order.spendCap), plainTerms(order.terms))
        );
        assert(contests.hashTerms(order.terms) == plainTerms(order.terms));
        assert(contests.hashOrder(order) == digest(address(escrow), structHash));
    }

    /// @notice The short way, from a hash of the terms, that settlement takes is the long one.
    function check_order_byItsTermsHashIsTheSame(Order calldata order) external pure {
        bytes32 termsHash = TypedData.hashTerms(order.terms);
        assert(TypedData.hashOrder(order.requester, order.spendCap, termsHash) == TypedData.hashOrder(order));
    }

    function check_commitment_isEip712(Commitment memory c) public view {
        bytes32 typeHash =
            keccak256("Commitment(bytes32 orderId,address node,bytes32 outputRoot,bytes32 traceCommit,uint32 units)");
        bytes memory encoded =
            abi.encode(typeHash, c.orderId, uint256(uint160(c.node)), c.outputRoot, c.traceCommit, uint256(c.units));
        assert(contests.hashCommitment(c) == digest(address(escrow), keccak256(encoded)));
    }

    function check_verdict_isEip712(Verdict memory v) public view {
        bytes32 typeHash = keccak256("Verdict(bytes32 commitmentDigest,address verifier,bytes32 answerCommit)");
        bytes memory encoded = abi.encode(typeHash, v.commitmentDigest, uint256(uint160(v.verifier)), v.answerCommit);
        assert(contests.hashVerdict(v) == digest(address(escrow), keccak256(encoded)));
    }

    function check_laneGrant_isEip712(address requester, address signer, uint64 units, uint32 expiry, uint256 nonce)
        public
        view
    {
        bytes32 typeHash =
            keccak256("LaneGrant(address requester,address signer,uint64 amount,uint40 expiry,uint256 nonce)");
        bytes memory encoded = abi.encode(
            typeHash, uint256(uint160(requester)), uint256(uint160(signer)), uint256(units), uint256(expiry), nonce
        );
        bytes32 expected = digest(address(escrow), keccak256(encoded));
        assert(escrow.hashLaneGrant(requester, signer, units, expiry, nonce) == expected);
    }

    function check_nodeKey_isEip712(address owner, address node) public view {
        bytes32 typeHash = keccak256("NodeKey(address owner,address node)");
        bytes memory encoded = abi.encode(typeHash, uint256(uint160(owner)), uint256(uint160(node)));
        assert(stakes.hashNodeKey(owner, node) == digest(address(stakes), keccak256(encoded)));
    }

    /// @notice Two orders that differ in any field have different ids. Assumes that keccak256 does not collide.
    function check_orderId_isOfOneOrderOnly(Order memory a, Order memory b) public view {
        if (contests.hashOrder(a) != contests.hashOrder(b)) return;
        assert(keccak256(abi.encode(a)) == keccak256(abi.encode(b)));
    }

    function plainTerms(Terms memory t) private pure returns (bytes32) {
        bytes memory params = abi.encode(
            keccak256(bytes(PARAMS)),
            uint256(t.params.maxNewTokens),
            uint256(t.params.temperatureMilli),
            uint256(t.params.topPPpm),
            uint256(t.params.seed)
        );
        bytes32 typeHash = keccak256(abi.encodePacked(TERMS, PARAMS));
        bytes memory hashes = abi.encode(typeHash, t.workloadId, t.promptRoot, t.textsHash, keccak256(params));
        bytes memory kind = abi.encode(uint256(t.comparator), uint256(t.copies), uint256(t.visibility));
        bytes memory price = abi.encode(uint256(t.fixedPrice), uint256(t.unitPrice), uint256(t.maxPrice));
        return keccak256(abi.encodePacked(hashes, kind, price, uint256(t.deadline), uint256(t.salt)));
    }

    function digest(address verifyingContract, bytes32 structHash) private view returns (bytes32) {
        bytes32 typeHash =
            keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        bytes memory domain = abi.encode(
            typeHash, keccak256("Assay"), keccak256("2"), block.chainid, uint256(uint160(verifyingContract))
        );
        return MessageHashUtils.toTypedDataHash(keccak256(domain), structHash);
    }
}
