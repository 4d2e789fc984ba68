// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Commitment, Order, Terms, Verdict} from "./Types.sol";

/// @notice EIP-712 struct hashes of what people sign, and the two hashes that hide an answer (SPEC section 3).
library TypedData {
    string internal constant NAME = "Assay";
    string internal constant VERSION = "2";

    bytes32 internal constant PARAMS_TYPEHASH =
        keccak256("Params(uint32 maxNewTokens,uint32 temperatureMilli,uint32 topPPpm,uint64 seed)");
    bytes32 internal constant TERMS_TYPEHASH = keccak256(
        "Terms(bytes32 workloadId,bytes32 promptRoot,bytes32 textsHash,Params params,uint8 comparator,uint8 copies,uint8 visibility,uint64 fixedPrice,uint64 unitPrice,uint64 maxPrice,uint40 deadline,uint64 salt)Params(uint32 maxNewTokens,uint32 temperatureMilli,uint32 topPPpm,uint64 seed)"
    );
    bytes32 internal constant ORDER_TYPEHASH = keccak256(
        "Order(address requester,uint64 spendCap,Terms terms)Params(uint32 maxNewTokens,uint32 temperatureMilli,uint32 topPPpm,uint64 seed)Terms(bytes32 workloadId,bytes32 promptRoot,bytes32 textsHash,Params params,uint8 comparator,uint8 copies,uint8 visibility,uint64 fixedPrice,uint64 unitPrice,uint64 maxPrice,uint40 deadline,uint64 salt)"
    );
    bytes32 internal constant COMMITMENT_TYPEHASH =
        keccak256("Commitment(bytes32 orderId,address node,bytes32 outputRoot,bytes32 traceCommit,uint32 units)");
    bytes32 internal constant VERDICT_TYPEHASH =
        keccak256("Verdict(bytes32 commitmentDigest,address verifier,bytes32 answerCommit)");
    bytes32 internal constant LANE_GRANT_TYPEHASH =
        keccak256("LaneGrant(address requester,address signer,uint64 amount,uint40 expiry,uint256 nonce)");
    bytes32 internal constant NODE_KEY_TYPEHASH = keccak256("NodeKey(address owner,address node)");

    function hashTerms(Terms calldata terms) internal pure returns (bytes32) {
        bytes32 paramsHash = keccak256(abi.encode(PARAMS_TYPEHASH, terms.params));
        return keccak256(
            abi.encode(
                TERMS_TYPEHASH,
                terms.workloadId,
                terms.promptRoot,
                terms.textsHash,
                paramsHash,
                terms.comparator,
                terms.copies,
                terms.visibility,
                terms.fixedPrice,
                terms.unitPrice,
                terms.maxPrice,
                terms.deadline,
                terms.salt
            )
        );
    }

    function hashOrder(address requester, uint64 spendCap, bytes32 termsHash) internal pure returns (bytes32) {
        return keccak256(abi.encode(ORDER_TYPEHASH, requester, spendCap, termsHash));
    }

    function hashOrder(Order calldata order) internal pure returns (bytes32) {
        return hashOrder(order.requester, order.spendCap, hashTerms(order.terms));
    }

    function hashCommitment(Commitment calldata commitment) internal pure returns (bytes32) {
        return keccak256(abi.encode(COMMITMENT_TYPEHASH, commitment));
    }

    function hashVerdict(Verdict calldata verdict) internal pure returns (bytes32) {
        return keccak256(abi.encode(VERDICT_TYPEHASH, verdict));
    }

    function hashLaneGrant(address requester, address signer, uint64 amount, uint40 expiry, uint256 nonce)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(LANE_GRANT_TYPEHASH, requester, signer, amount, expiry, nonce));
    }

    function hashNodeKey(address owner, address node) internal pure returns (bytes32) {
        return keccak256(abi.encode(NODE_KEY_TYPEHASH, owner, node));
    }

    /// @notice Hides a trace in a commitment; bound to order and node.
    function traceCommit(bytes32 traceHash, bytes32 orderId, address node) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(traceHash, orderId, node));
    }

    /// @notice Hides a verifier's answer until it is opened; bound to job and verifier.
    function answerCommit(
        bytes32 traceHash,
        bytes32 outputRoot,
        uint32 units,
        bytes32 commitmentDigest,
        address verifier
    ) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(traceHash, outputRoot, units, commitmentDigest, verifier));
    }

    /// @notice Opened answers are equal iff their keys are.
    function answerKey(bytes32 traceHash, bytes32 outputRoot, uint32 units) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(traceHash, outputRoot, units));
    }
}
