// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {PackedEpoch} from "src/libraries/PackedEpoch.sol";
import {PackedEpochReference} from "../escrow/PackedEpochReference.sol";
import {EpochBuilder} from "../utils/EpochBuilder.sol";
import {Network} from "../utils/Network.sol";
import {vm} from "../utils/Vm.sol";

/// @notice What a job may cost at most, each call as a transaction of its own, calldata floor (EIP-7623) and all; and what
/// the assembly of the row loop is worth (snapshots/rows.json). The figures themselves come from `make bench-gas`.
///
/// As in a running network, every lane was charged and every operator credited and paid before. Digests are random, amounts random below 2^32 units, caps really signed.
contract GasTest is Network {
    using EpochBuilder for EpochBuilder.Draft;

    struct Figure {
        uint256 jobs;
        uint256 lanes;
        uint256 operators;
        uint256 calldataBytes;
        uint256 postGas;
        uint256 settleGas;
        uint256 claimGas;
    }

    uint256 private constant ROWS = 1000;

    function setUp() public override {
        super.setUp();
        pay(address(this), 1e18);
        escrow.bondSettler(1e18);
    }

    function test_gasPerJob() public {
        vm.assertLe(perJob(measure(1000, 50, 50)), 2200, "gas a job, 1000 jobs x 50 lanes x 50 operators");
        vm.assertLe(perJob(measure(3000, 50, 50)), 1750, "gas a job, nearly the largest transaction of 128 KiB");
    }

    /// @notice Reading 1,000 rows into leaves, sums, tallies and a root: the reader's assembly, and the plain reference.
    function test_rowLoop() public {
        Figure memory f = Figure(ROWS, 1, 1, 0, 0, 0, 0);
        prepareOperators(1);
        bytes memory packed = randomDraft(ROWS, f, 1).pack();
        uint256 assembled = this.gasOfReader(packed);
        uint256 plain = this.gasOfReference(packed);
        vm.snapshotValue("rows", "reader_gas_a_row", assembled / ROWS);
        vm.snapshotValue("rows", "reference_gas_a_row", plain / ROWS);
        vm.assertLe(10 * assembled, plain, "assembly that is worth less than a tenth is not worth its risk");
    }

    function gasOfReader(bytes calldata packed) external view returns (uint256) {
        uint256 before = gasleft();
        PackedEpoch.Reader memory reader = PackedEpoch.open(packed, ROWS);
        PackedEpoch.Group memory group;
        PackedEpoch.next(packed, reader, group);
        PackedEpoch.close(packed, reader);
        return before - gasleft();
    }

    function gasOfReference(bytes calldata packed) external view returns (uint256) {
        uint256 before = gasleft();
        (PackedEpochReference.Group[] memory groups, uint256 groupCount) = PackedEpochReference.read(packed, ROWS);
        PackedEpochReference.root(groups, groupCount, ROWS);
        return before - gasleft();
    }

    /// @notice Post and settlement by the job, and one claim per 1,000 of an operator's own jobs.
    function perJob(Figure memory f) private pure returns (uint256) {
        return (f.postGas + f.settleGas) / f.jobs + f.claimGas / 1000;
    }

    function measure(uint256 jobs, uint256 laneCount, uint256 operatorCount) private returns (Figure memory f) {
        uint256 state = vm.snapshotState();
        (f.jobs, f.lanes, f.operators) = (jobs, laneCount, operatorCount);
        prepareOperators(operatorCount);
        prepareLanes(laneCount);

        // Warm up: every lane charged and every operator credited and paid once.
        EpochBuilder.Draft memory first = randomDraft(laneCount > operatorCount ? laneCount : operatorCount, f, 1);
        postAndSettle(first);
        claimAll(operatorCount);
        pass(700);

        EpochBuilder.Draft memory draft = randomDraft(jobs, f, 2);
        bytes memory packed = draft.pack();
        (bytes32 root, uint16 count) = (draft.root(), draft.count());
        vm.roll(vm.getBlockNumber() + 3);
        uint64 id = escrow.lastEpoch() + 1;
        bytes32 logRoot = keccak256("log");
        f.postGas = transact(abi.encodeCall(escrow.postEpoch, (id, root, count, beacons[BEACONS - id], logRoot)));
        reveal();
        bytes memory settlement = abi.encodeCall(escrow.settleEpoch, (id, packed));
        f.calldataBytes = settlement.length;
        f.settleGas = transact(settlement);
        f.claimGas = transact(abi.encodeCall(escrow.claim, (1)));
        vm.revertToState(state);
    }

    /// @notice Gas used by a transaction of the settler. Its calldata is made before the count begins.
    function transact(bytes memory data) private returns (uint256 used) {
        vm.prank(settler, settler);
        uint256 before = gasleft();
        (bool success,) = address(escrow).call(data);
        used = before - gasleft();
        vm.assertTrue(success);
    }

    function prepareOperators(uint256 operatorCount) private {
        for (uint256 i = 0; i < operatorCount; ++i) {
            registerOperator(string.concat("operator", vm.toString(i)), 0);
        }
    }

    function prepareLanes(uint256 laneCount) private {
        for (uint256 i = 0; i < laneCount; ++i) {
            address requester = addressOf(string.concat("requester", vm.toString(i)));
            fund(requester, requester, 1e15);
        }
    }

    function claimAll(uint256 operatorCount) private {
        for (uint32 i = 1; i <= operatorCount; ++i) {
            escrow.claim(i);
        }
    }

    function randomDraft(uint256 jobs, Figure memory f, uint256 round)
        private
        view
        returns (EpochBuilder.Draft memory draft)
    {
        draft.operatorIds = new uint32[](f.operators);
        for (uint32 i = 0; i < f.operators; ++i) {
            draft.operatorIds[i] = i + 1;
        }
        draft.groups = new EpochBuilder.Group[](f.lanes);
        uint256 job = 0;
        for (uint256 g = 0; g < f.lanes; ++g) {
            EpochBuilder.Group memory group = draft.groups[g];
            string memory name = string.concat("requester", vm.toString(g));
            group.requester = addressOf(name);
            group.signer = group.requester;
            group.capProof = signCap(keyOf(name), group.requester, uint64(round * 1e14));
            group.rows = new EpochBuilder.Row[]((jobs + f.lanes - 1 - g) / f.lanes);
            for (uint256 i = 0; i < group.rows.length; ++i) {
                bytes32 digest = keccak256(abi.encode(round, job));
                group.rows[i] =
                    EpochBuilder.Row(uint16(job % f.operators), uint48(1 + uint32(uint256(digest))), digest, false);
                ++job;
            }
        }
    }
}
