// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {IJobEscrow} from "../interfaces/IJobEscrow.sol";
import {IStakeManager} from "../interfaces/IStakeManager.sol";
import {Commitment, LeafProof, Order} from "./Types.sol";

/// @notice What stands behind a leaf's digest: that it is this commitment's, to this order, signed by its node.
library Evidence {
    /// @notice Thrown when a commitment is not the one expected.
    error Evidence_WrongCommitment(bytes32 digest, bytes32 expected);

    /// @notice Thrown when a commitment answers another order.
    error Evidence_WrongOrder(bytes32 orderId, bytes32 expected);

    /// @notice Thrown when the order's requester is not the leaf's.
    error Evidence_WrongRequester(address requester, address expected);

    /// @notice Thrown when a commitment is not signed by its node, or the node is not the operator's.
    error Evidence_NotSignedByNode(address node, address recovered, uint32 operatorId);

    /// @return orderId that the commitment names
    function requireLeafOf(
        IJobEscrow escrow,
        IStakeManager stakes,
        LeafProof calldata proof,
        Order calldata order,
        Commitment calldata commitment,
        bytes calldata nodeSignature
    ) internal view returns (bytes32 orderId) {
        bytes32 digest = requireCommitment(escrow, commitment, proof.digest);
        orderId = requireOrder(escrow, order, commitment);
        if (order.requester != proof.requester) {
            revert Evidence_WrongRequester(order.requester, proof.requester);
        }
        requireSigned(stakes, digest, commitment.node, proof.operatorId, nodeSignature);
    }

    function requireCommitment(IJobEscrow escrow, Commitment calldata commitment, bytes32 expected)
        internal
        view
        returns (bytes32 digest)
    {
        digest = escrow.hashCommitment(commitment);
        if (digest != expected) revert Evidence_WrongCommitment(digest, expected);
    }

    function requireOrder(IJobEscrow escrow, Order calldata order, Commitment calldata commitment)
        internal
        view
        returns (bytes32 orderId)
    {
        orderId = escrow.hashOrder(order);
        if (orderId != commitment.orderId) revert Evidence_WrongOrder(orderId, commitment.orderId);
    }

    function requireSigned(
        IStakeManager stakes,
        bytes32 digest,
        address node,
        uint32 operatorId,
        bytes calldata signature
    ) internal view {
        (address recovered,,) = ECDSA.tryRecoverCalldata(digest, signature);
        bool signed = recovered == node && operatorId != 0 && stakes.operatorOf(node) == operatorId;
        if (!signed) revert Evidence_NotSignedByNode(node, recovered, operatorId);
    }
}
