// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Merkle} from "src/libraries/Merkle.sol";
import {PackedEpoch} from "src/libraries/PackedEpoch.sol";
import {vm} from "../utils/Vm.sol";

/// @notice Nothing overflows where several numbers share a word. Covers: A14, A35.
/// Bounds: one row read at a time, so that of any number of rows follows by induction: the units that the operator's
/// rows had before are at most 48 bits for each of the 2^16 - 2 rows that an epoch can have besides.
contract PackingProof {
    uint256 private constant MOST_BEFORE = (2 ** 16 - 2) * (2 ** 48 - 1);

    /// @dev The library over calldata, with an operator's tally as rows before left it.
    function readOne(bytes calldata packed, uint256 before)
        external
        pure
        returns (uint32 operatorId, uint256 grossUnits, uint256 sumUnits, uint256 skippedUnits, bytes32 leaf)
    {
        PackedEpoch.Reader memory reader = PackedEpoch.open(packed, 1);
        reader.tallies[0] += before;
        PackedEpoch.Group memory group;
        PackedEpoch.next(packed, reader, group);
        sumUnits = group.sumUnits;
        leaf = reader.leaves[0];
        (operatorId, grossUnits) = PackedEpoch.tallyOf(reader, 0);
        PackedEpoch.skip(packed, reader, group);
        (, skippedUnits) = PackedEpoch.tallyOf(reader, 0);
    }

    /// @notice A row's units are added to its operator's and to the group's, exactly; the operator's id stays what it was,
    /// in the tally and in the leaf; and skipping the row takes away what it added.
    function check_tally_holdsAllRowsBesideTheId(uint32 operatorId, uint48 units, uint64 before, bytes32 digest)
        public
        view
    {
        vm.assume(before <= MOST_BEFORE);
        (uint32 id, uint256 grossUnits, uint256 sumUnits, uint256 skippedUnits, bytes32 leaf) =
            this.readOne(packedOf(operatorId, units, digest, false), before);
        assert(id == operatorId);
        assert(grossUnits == uint256(before) + units && grossUnits <= type(uint64).max);
        assert(sumUnits == units && skippedUnits == before);
        assert(leaf == Merkle.leaf(Merkle.laneKey(address(this), address(this)), operatorId, units, digest));
    }

    /// @notice A VOID row adds nothing to anybody, and takes nothing away when its group is skipped.
    function check_voidRow_changesNoTally(uint32 operatorId, uint48 units, uint64 before, bytes32 digest) public view {
        vm.assume(before <= MOST_BEFORE);
        (uint32 id, uint256 grossUnits, uint256 sumUnits, uint256 skippedUnits,) =
            this.readOne(packedOf(operatorId, units, digest, true), before);
        assert(id == operatorId && grossUnits == before && sumUnits == 0 && skippedUnits == before);
    }

    function packedOf(uint32 operatorId, uint48 units, bytes32 digest, bool isVoid)
        private
        view
        returns (bytes memory)
    {
        bytes memory head = abi.encodePacked(uint16(1), operatorId, isVoid ? uint8(1) : uint8(0));
        return abi.encodePacked(head, address(this), address(this), uint64(0), uint16(1), uint16(0), units, digest);
    }
}
