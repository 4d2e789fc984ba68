// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {IJobEscrow} from "../interfaces/IJobEscrow.sol";
import {IStakeManager} from "../interfaces/IStakeManager.sol";
import {Merkle} from "./Merkle.sol";
import {TypedData} from "./TypedData.sol";
import {Commitment, Epoch, LeafProof, Order, Terms} from "./Types.sol";

/// @notice Checks what a leaf's digest commits to: the commitment, its order, and the signature of its node.
library Evidence {
    error Evidence_WrongCommitment(bytes32 digest, bytes32 expected);
    error Evidence_WrongOrder(bytes32 orderId, bytes32 expected);
    error Evidence_WrongRequester(address requester, address expected);
    /// @notice Thrown when a commitment is not signed by its node, or the node is not the operator's.
    error Evidence_NotSignedByNode(address node, address recovered, uint32 operatorId);
    /// @notice Thrown when the node's key was revoked too early for its signature to count.
    error Evidence_KeyRevoked(address node, uint256 revokedAt);

    /// @return postedAt when the leaf's epoch was posted
    function requirePosted(IJobEscrow escrow, LeafProof calldata proof) internal view returns (uint256 postedAt) {
        Epoch memory epoch = escrow.epochs(proof.epochId);
        if (Merkle.rootOf(proof, epoch.count) != epoch.root) {
            revert IJobEscrow.JobEscrow_LeafNotInEpoch(proof.epochId, proof.index);
        }
        return epoch.postedAt;
    }

    /// @param domain JobEscrow's domain separator
    /// @return orderId that the commitment names
    function requireLeafOf(
        bytes32 domain,
        LeafProof calldata proof,
        Order calldata order,
        Commitment calldata commitment
    ) internal pure returns (bytes32 orderId) {
        requireCommitment(domain, commitment, proof.digest);
        orderId = requireOrder(domain, order, commitment);
        if (order.requester != proof.requester) {
            revert Evidence_WrongRequester(order.requester, proof.requester);
        }
    }

    /// @notice Reverts unless a key of the leaf's operator signed the commitment, and was not revoked EPOCH_MAX or more
    /// before the post: a row waits for its root no longer than that.
    function requireSignedInTime(
        IStakeManager stakes,
        IJobEscrow escrow,
        LeafProof calldata proof,
        address node,
        bytes calldata signature,
        uint256 postedAt
    ) internal view {
        uint256 revokedAt = requireSigned(stakes, proof.digest, node, proof.operatorId, signature);
        bool late = revokedAt != 0 && postedAt >= revokedAt + escrow.EPOCH_MAX();
        if (late) revert Evidence_KeyRevoked(node, revokedAt);
    }

    function requireCommitment(bytes32 domain, Commitment calldata commitment, bytes32 expected)
        internal
        pure
        returns (bytes32 digest)
    {
        digest = digestOf(domain, commitment);
        if (digest != expected) revert Evidence_WrongCommitment(digest, expected);
    }

    function requireOrder(bytes32 domain, Order calldata order, Commitment calldata commitment)
        internal
        pure
        returns (bytes32 orderId)
    {
        orderId = MessageHashUtils.toTypedDataHash(domain, TypedData.hashOrder(order));
        if (orderId != commitment.orderId) revert Evidence_WrongOrder(orderId, commitment.orderId);
    }

    /// @notice The price of `units` of work at an order's terms (SPEC section 3).
    function chargeOf(Terms calldata terms, uint32 units) internal pure returns (uint256) {
        uint256 price = terms.fixedPrice + uint256(units) * terms.unitPrice;
        return price < terms.maxPrice ? price : terms.maxPrice;
    }

    function digestOf(bytes32 domain, Commitment calldata commitment) internal pure returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(domain, TypedData.hashCommitment(commitment));
    }

    /// @return revokedAt 0: the key was never revoked
    function requireSigned(
        IStakeManager stakes,
        bytes32 digest,
        address node,
        uint32 operatorId,
        bytes calldata signature
    ) internal view returns (uint256 revokedAt) {
        (address recovered,,) = ECDSA.tryRecoverCalldata(digest, signature);
        IStakeManager.NodeKey memory key = stakes.nodeKeys(node);
        bool signed = recovered == node && operatorId != 0 && key.operatorId == operatorId;
        if (!signed) revert Evidence_NotSignedByNode(node, recovered, operatorId);
        return key.revokedAt;
    }
}
