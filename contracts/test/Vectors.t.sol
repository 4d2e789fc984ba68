// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {Evidence} from "src/libraries/Evidence.sol";
import {Merkle} from "src/libraries/Merkle.sol";
import {PackedEpoch} from "src/libraries/PackedEpoch.sol";
import {PackedWords} from "src/libraries/PackedWords.sol";
import {TypedData} from "src/libraries/TypedData.sol";
import {Commitment, Order, Params, Terms, Verdict} from "src/libraries/Types.sol";
import {vm} from "./utils/Vm.sol";

/// @notice The golden vectors that the Python side wrote, against the libraries that the contracts are made of.
contract VectorsTest {
    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");

    bytes32 private constant WORKLOAD_TYPEHASH = keccak256(
        "Workload(bytes32 modelRoot,bytes32 engine,uint8 comparator,uint8 meter,uint32 maxTexts,uint32 maxTokens,bytes32 before,bytes32 after,bytes32 stops,uint64 checkPrice,Deterrence deterrence,bytes32 manifestHash)Deterrence(uint32 honestCostPpm,uint32 cheatCostPpm,uint32 detectionPpm,uint32 collusionPpm,uint32 falseAlarmPpm)"
    );

    string private json;
    string private table;

    function test_orders() public {
        load("orders");
        bytes32[] memory termsHashes = words("termsHash");
        bytes32[] memory digests = words("digest");
        Order[] memory orders = readOrders();
        bytes32[] memory domains = readDomains();
        for (uint256 i = 0; i < orders.length; ++i) {
            (bytes32 termsHash, bytes32 structHash) = this.hashesOf(orders[i]);
            vm.assertEq(termsHash, termsHashes[i]);
            vm.assertEq(MessageHashUtils.toTypedDataHash(domains[i], structHash), digests[i]);
        }
    }

    function hashesOf(Order calldata order) external pure returns (bytes32 termsHash, bytes32 structHash) {
        return (TypedData.hashTerms(order.terms), TypedData.hashOrder(order));
    }

    function hashOf(Commitment calldata commitment) external pure returns (bytes32) {
        return TypedData.hashCommitment(commitment);
    }

    function hashOf(Verdict calldata verdict) external pure returns (bytes32) {
        return TypedData.hashVerdict(verdict);
    }

    function test_commitments() public {
        load("commitments");
        bytes32[] memory traceHashes = words("traceHash");
        bytes32[] memory digests = words("digest");
        bytes32[] memory domains = readDomains();
        Commitment[] memory made = readCommitments();
        for (uint256 i = 0; i < made.length; ++i) {
            vm.assertEq(TypedData.traceCommit(traceHashes[i], made[i].orderId, made[i].node), made[i].traceCommit);
            vm.assertEq(MessageHashUtils.toTypedDataHash(domains[i], this.hashOf(made[i])), digests[i]);
        }
    }

    function test_verdicts() public {
        load("verdicts");
        bytes32[] memory digests = words("digest");
        bytes32[] memory domains = readDomains();
        Verdict[] memory verdicts = readVerdicts();
        for (uint256 i = 0; i < verdicts.length; ++i) {
            vm.assertEq(MessageHashUtils.toTypedDataHash(domains[i], this.hashOf(verdicts[i])), digests[i]);
        }
        bytes32[] memory traces = words("traceHash");
        bytes32[] memory outputs = words("outputRoot");
        uint256[] memory units = numbers("units");
        bytes32[] memory keys = words("answerKey");
        for (uint256 i = 0; i < verdicts.length; ++i) {
            Verdict memory v = verdicts[i];
            vm.assertEq(TypedData.answerKey(traces[i], outputs[i], uint32(units[i])), keys[i]);
            vm.assertEq(
                TypedData.answerCommit(traces[i], outputs[i], uint32(units[i]), v.commitmentDigest, v.verifier),
                v.answerCommit
            );
        }
    }

    function test_nodeKeys() public {
        load("node_keys");
        address[] memory owners = addresses("owner");
        address[] memory nodes = addresses("node");
        bytes32[] memory digests = words("digest");
        bytes32[] memory domains = readDomains();
        vm.assertTrue(digests.length > 0);
        for (uint256 i = 0; i < digests.length; ++i) {
            bytes32 structHash = TypedData.hashNodeKey(owners[i], nodes[i]);
            vm.assertEq(MessageHashUtils.toTypedDataHash(domains[i], structHash), digests[i]);
        }
    }

    function test_laneGrants() public {
        load("lane_grants");
        address[] memory requesters = addresses("requester");
        address[] memory signers = addresses("signer");
        uint256[] memory amounts = numbers("amount");
        uint256[] memory expiries = numbers("expiry");
        uint256[] memory nonces = numbers("nonce");
        bytes32[] memory digests = words("digest");
        bytes32[] memory domains = readDomains();
        vm.assertTrue(digests.length > 0);
        for (uint256 i = 0; i < digests.length; ++i) {
            bytes32 structHash =
                TypedData.hashLaneGrant(requesters[i], signers[i], uint64(amounts[i]), uint40(expiries[i]), nonces[i]);
            vm.assertEq(MessageHashUtils.toTypedDataHash(domains[i], structHash), digests[i]);
        }
    }

    function test_leaves() public {
        load("leaves");
        address[] memory requesters = addresses("requester");
        address[] memory signers = addresses("signer");
        uint256[] memory operatorIds = numbers("operatorId");
        uint256[] memory amounts = numbers("amountUnits");
        bytes32[] memory digests = words("digest");
        bytes32[] memory laneKeys = words("laneKey");
        bytes32[] memory leaves = words("leaf");
        vm.assertTrue(leaves.length > 0);
        for (uint256 i = 0; i < leaves.length; ++i) {
            vm.assertEq(Merkle.laneKey(requesters[i], signers[i]), laneKeys[i]);
            bytes32 leaf = Merkle.leaf(laneKeys[i], uint32(operatorIds[i]), uint64(amounts[i]), digests[i]);
            vm.assertEq(leaf, leaves[i]);
        }
    }

    /// @notice Covers: A25.
    function test_amounts() public {
        load("amounts");
        uint256[] memory fixedPrices = numbers("fixedPrice");
        uint256[] memory unitPrices = numbers("unitPrice");
        uint256[] memory maxPrices = numbers("maxPrice");
        uint256[] memory units = numbers("units");
        uint256[] memory amounts = numbers("amountUnits");
        vm.assertTrue(amounts.length > 0);
        Terms memory terms;
        for (uint256 i = 0; i < amounts.length; ++i) {
            terms.fixedPrice = uint64(fixedPrices[i]);
            terms.unitPrice = uint64(unitPrices[i]);
            terms.maxPrice = uint64(maxPrices[i]);
            vm.assertEq(this.chargeOf(terms, uint32(units[i])), amounts[i]);
        }
    }

    function chargeOf(Terms calldata terms, uint32 units) external pure returns (uint256) {
        return Evidence.chargeOf(terms, units);
    }

    function test_trees() public {
        load("trees");
        bytes[] memory leaves = blobs("leaves");
        bytes[] memory siblings = blobs("siblings");
        uint256[] memory counts = numbers("count");
        uint256[] memory indices = numbers("index");
        bytes32[] memory roots = words("root");
        vm.assertTrue(roots.length > 0);
        for (uint256 i = 0; i < roots.length; ++i) {
            bytes32[] memory nodes = toWords(leaves[i]);
            vm.assertEq(nodes.length, counts[i]);
            bytes32 leaf = nodes[indices[i]];
            vm.assertEq(this.fromProof(leaf, indices[i], counts[i], toWords(siblings[i])), roots[i]);
            vm.assertEq(Merkle.root(nodes), roots[i]);
        }
    }

    function test_packed() public {
        load("packed");
        bytes[] memory packed = blobs("packed");
        bytes32[] memory roots = words("root");
        vm.assertTrue(roots.length > 0);
        for (uint256 i = 0; i < roots.length; ++i) {
            vm.assertEq(this.packedRoot(packed[i]), roots[i]);
        }
    }

    /// @notice Bytes whose counts do not add up have no root.
    function test_packed_nothingElseHasARoot() public {
        load("packed");
        bytes memory good = blobs("packed")[0];
        bytes[4] memory wrong =
            [bytes.concat(good, hex"00000000"), hex"000001", hex"0000000100000001", bytes(hex"00000002000000000000")];
        for (uint256 i = 0; i < wrong.length; ++i) {
            try this.packedRoot(wrong[i]) {
                revert("has a root");
            } catch (bytes memory reason) {
                vm.assertEq(bytes32(bytes4(reason)), bytes32(PackedWords.PackedWords_NotPacked.selector));
            }
        }
    }

    function test_workloads() public {
        load("workloads");
        bytes[] memory encoded = blobs("encoded");
        bytes32[] memory ids = words("workloadId");
        vm.assertTrue(ids.length > 0);
        for (uint256 i = 0; i < ids.length; ++i) {
            vm.assertEq(keccak256(bytes.concat(WORKLOAD_TYPEHASH, encoded[i])), ids[i]);
        }
    }

    function test_epochs() public {
        load("epochs");
        bytes[] memory packed = blobs("packed");
        bytes[] memory voidBits = blobs("voidBits");
        bytes[] memory skippedBits = blobs("skippedBits");
        uint256[] memory counts = numbers("count");
        uint256[] memory outcomes = numbers("outcomesHash");
        bytes32[] memory roots = words("root");
        vm.assertTrue(roots.length > 0);
        for (uint256 i = 0; i < roots.length; ++i) {
            (bytes32 root, bytes memory bits) = this.readEpoch(packed[i], counts[i]);
            vm.assertEq(root, roots[i]);
            vm.assertEq(bits, voidBits[i]);
            vm.assertEq(uint160(uint256(keccak256(abi.encodePacked(bits, skippedBits[i])))), outcomes[i]);
        }
    }

    /// @notice A zero signer marks a signature that must be refused. Covers: A20, A21.
    function test_signatures() public {
        load("signatures");
        bytes32[] memory digests = words("digest");
        bytes[] memory signatures = blobs("signature");
        bytes32[] memory rs = words("r");
        bytes32[] memory vss = words("vs");
        address[] memory signers = addresses("signer");
        vm.assertTrue(signers.length > 0);
        for (uint256 i = 0; i < signers.length; ++i) {
            (address recovered,,) = ECDSA.tryRecover(digests[i], signatures[i]);
            vm.assertEq(recovered, signers[i]);
            if (signers[i] == address(0)) continue;
            (recovered,,) = ECDSA.tryRecover(digests[i], rs[i], vss[i]);
            vm.assertEq(recovered, signers[i]);
        }
    }

    function packedRoot(bytes calldata packed) external pure returns (bytes32) {
        return PackedWords.rootOf(packed);
    }

    function fromProof(bytes32 leaf, uint256 index, uint256 count, bytes32[] calldata siblings)
        external
        pure
        returns (bytes32)
    {
        return Merkle.rootFromProof(leaf, index, count, siblings);
    }

    function readEpoch(bytes calldata packed, uint256 count) external pure returns (bytes32 root, bytes memory bits) {
        PackedEpoch.Reader memory reader = PackedEpoch.open(packed, count);
        PackedEpoch.Group memory group;
        while (reader.row < reader.count) {
            PackedEpoch.next(packed, reader, group);
        }
        return (PackedEpoch.close(packed, reader), PackedEpoch.voidBits(packed, reader));
    }

    // ---------------------------------------------------------------- columns

    function readOrders() private view returns (Order[] memory orders) {
        address[] memory requesters = addresses("requester");
        uint256[] memory caps = numbers("spendCap");
        orders = new Order[](caps.length);
        for (uint256 i = 0; i < caps.length; ++i) {
            orders[i].requester = requesters[i];
            orders[i].spendCap = uint64(caps[i]);
        }
        readHashes(orders);
        readParams(orders);
        readKinds(orders);
        readPrices(orders);
    }

    function readHashes(Order[] memory orders) private view {
        bytes32[] memory workloads = words("workloadId");
        bytes32[] memory prompts = words("promptRoot");
        bytes32[] memory texts = words("textsHash");
        for (uint256 i = 0; i < orders.length; ++i) {
            orders[i].terms.workloadId = workloads[i];
            orders[i].terms.promptRoot = prompts[i];
            orders[i].terms.textsHash = texts[i];
        }
    }

    function readParams(Order[] memory orders) private view {
        uint256[] memory mostTokens = numbers("maxNewTokens");
        uint256[] memory temperatures = numbers("temperatureMilli");
        uint256[] memory topPs = numbers("topPPpm");
        uint256[] memory seeds = numbers("seed");
        for (uint256 i = 0; i < orders.length; ++i) {
            orders[i].terms.params =
                Params(uint32(mostTokens[i]), uint32(temperatures[i]), uint32(topPs[i]), uint64(seeds[i]));
        }
    }

    function readKinds(Order[] memory orders) private view {
        uint256[] memory comparators = numbers("comparator");
        uint256[] memory copies = numbers("copies");
        uint256[] memory visibilities = numbers("visibility");
        for (uint256 i = 0; i < orders.length; ++i) {
            orders[i].terms.comparator = uint8(comparators[i]);
            orders[i].terms.copies = uint8(copies[i]);
            orders[i].terms.visibility = uint8(visibilities[i]);
        }
    }

    function readPrices(Order[] memory orders) private view {
        uint256[] memory fixedPrices = numbers("fixedPrice");
        uint256[] memory unitPrices = numbers("unitPrice");
        uint256[] memory maxPrices = numbers("maxPrice");
        uint256[] memory deadlines = numbers("deadline");
        uint256[] memory salts = numbers("salt");
        for (uint256 i = 0; i < orders.length; ++i) {
            orders[i].terms.fixedPrice = uint64(fixedPrices[i]);
            orders[i].terms.unitPrice = uint64(unitPrices[i]);
            orders[i].terms.maxPrice = uint64(maxPrices[i]);
            orders[i].terms.deadline = uint40(deadlines[i]);
            orders[i].terms.salt = uint64(salts[i]);
        }
    }

    function readCommitments() private view returns (Commitment[] memory made) {
        bytes32[] memory orderIds = words("orderId");
        address[] memory nodes = addresses("node");
        bytes32[] memory outputs = words("outputRoot");
        bytes32[] memory traceCommits = words("traceCommit");
        uint256[] memory units = numbers("units");
        made = new Commitment[](orderIds.length);
        for (uint256 i = 0; i < made.length; ++i) {
            made[i] = Commitment(orderIds[i], nodes[i], outputs[i], traceCommits[i], uint32(units[i]));
        }
        vm.assertTrue(made.length > 0);
    }

    function readVerdicts() private view returns (Verdict[] memory verdicts) {
        bytes32[] memory digests = words("commitmentDigest");
        address[] memory verifiers = addresses("verifier");
        bytes32[] memory commits = words("answerCommit");
        verdicts = new Verdict[](digests.length);
        for (uint256 i = 0; i < verdicts.length; ++i) {
            verdicts[i] = Verdict(digests[i], verifiers[i], commits[i]);
        }
        vm.assertTrue(verdicts.length > 0);
    }

    function readDomains() private view returns (bytes32[] memory domains) {
        uint256[] memory chainIds = numbers("chainId");
        address[] memory contracts = addresses("verifyingContract");
        bytes32 name = keccak256(bytes(TypedData.NAME));
        bytes32 version = keccak256(bytes(TypedData.VERSION));
        domains = new bytes32[](chainIds.length);
        for (uint256 i = 0; i < domains.length; ++i) {
            domains[i] = keccak256(abi.encode(DOMAIN_TYPEHASH, name, version, chainIds[i], contracts[i]));
        }
    }

    function load(string memory name) private {
        json = vm.readFile(string.concat("vectors/", name, ".json"));
        table = string.concat(".", name, ".");
    }

    function words(string memory column) private view returns (bytes32[] memory) {
        return vm.parseJsonBytes32Array(json, string.concat(table, column));
    }

    function numbers(string memory column) private view returns (uint256[] memory) {
        return vm.parseJsonUintArray(json, string.concat(table, column));
    }

    function addresses(string memory column) private view returns (address[] memory) {
        return vm.parseJsonAddressArray(json, string.concat(table, column));
    }

    function blobs(string memory column) private view returns (bytes[] memory) {
        return vm.parseJsonBytesArray(json, string.concat(table, column));
    }

    function toWords(bytes memory data) private pure returns (bytes32[] memory result) {
        result = new bytes32[](data.length / 32);
        for (uint256 i = 0; i < result.length; ++i) {
            bytes32 word;
            assembly ("memory-safe") {
                word := mload(add(add(data, 0x20), mul(i, 0x20)))
            }
            result[i] = word;
        }
    }
}
