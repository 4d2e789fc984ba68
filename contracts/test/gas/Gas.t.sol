// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {EpochBuilder} from "../utils/EpochBuilder.sol";
import {Network} from "../utils/Network.sol";
import {vm} from "../utils/Vm.sol";

/// @notice What a job costs on chain: each call as a transaction of its own, calldata floor (EIP-7623) and all.
/// Run with `forge test --isolate --match-contract GasTest -vv`; writes cache/gas.json.
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

    string private json;

    function setUp() public override {
        super.setUp();
        pay(address(this), 1e18);
        escrow.bondSettler(1e18);
    }

    function test_gasPerJob() public {
        uint256 first = report("epoch_1000x50x50", measure(1000, 50, 50));
        uint256 largest = report("epoch_2900x50x50", measure(2900, 50, 50));
        report("epoch_100x10x10", measure(100, 10, 10));
        report("epoch_1000x1x1", measure(1000, 1, 1));
        report("epoch_1000x1000x1000", measure(1000, 1000, 1000));
        vm.writeFile("cache/gas.json", string.concat("{", json, "}\n"));

        vm.assertLe(first, 2200, "gas a job, 1000 jobs x 50 lanes x 50 operators");
        vm.assertLe(largest, 1750, "gas a job, largest epoch in a transaction of 128 KiB");
    }

    /// @notice Post and settlement by the job, and one claim per 1,000 of an operator's own jobs.
    function perJob(Figure memory f) private pure returns (uint256) {
        return (f.postGas + f.settleGas) / f.jobs + f.claimGas / 1000;
    }

    function report(string memory name, Figure memory f) private returns (uint256 gasPerJob) {
        gasPerJob = perJob(f);
        string memory figure = string.concat('"jobs":', vm.toString(f.jobs));
        figure = field(figure, "lanes", f.lanes);
        figure = field(figure, "operators", f.operators);
        figure = field(figure, "calldata_bytes", f.calldataBytes);
        figure = field(figure, "post_gas", f.postGas);
        figure = field(figure, "settle_gas", f.settleGas);
        figure = field(figure, "claim_gas", f.claimGas);
        figure = field(figure, "gas_per_job", gasPerJob);
        json = string.concat(json, bytes(json).length > 0 ? ',"' : '"', name, '":{', figure, "}");
    }

    function field(string memory object, string memory name, uint256 value) private pure returns (string memory) {
        return string.concat(object, ',"', name, '":', vm.toString(value));
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
