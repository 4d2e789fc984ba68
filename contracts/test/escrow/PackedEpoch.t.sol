// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {PackedEpoch} from "src/libraries/PackedEpoch.sol";
import {PackedEpochReference} from "./PackedEpochReference.sol";
import {CapProof} from "src/libraries/Types.sol";
import {EpochBuilder} from "../utils/EpochBuilder.sol";
import {vm} from "../utils/Vm.sol";

/// @notice The reader that settles epochs, held against the plain one.
contract PackedEpochTest {
    using EpochBuilder for EpochBuilder.Draft;

    struct Reading {
        bytes32 root;
        uint256[] groupSums;
        uint256[] grossUnits; // of each listed operator id, all groups but the skipped
        bytes32 capsHash;
        bytes skippedBits;
    }

    /// @notice The same groups, sums, credits and root from both, with every second lane skipped, void rows and all.
    function testFuzz_reader_agreesWithTheReference(uint256 seed, uint256 lanes, uint256 operators) public view {
        EpochBuilder.Draft memory draft = randomDraft(seed, lanes % 9, 1 + operators % 7);
        bytes memory packed = draft.pack();
        uint256 count = draft.count();
        Reading memory fast = this.readFast(packed, count);
        Reading memory plain = readPlain(packed, count, draft.operatorIds);
        vm.assertEq(fast.root, plain.root);
        vm.assertEq(fast.root, draft.root());
        vm.assertEq(fast.capsHash, plain.capsHash);
        vm.assertEq(fast.skippedBits, plain.skippedBits);
        vm.assertEq(keccak256(abi.encode(fast.groupSums)), keccak256(abi.encode(plain.groupSums)));
        vm.assertEq(keccak256(abi.encode(fast.grossUnits)), keccak256(abi.encode(plain.grossUnits)));
    }

    /// @notice None, one or two VOID rows among hundreds, which the reader looks for a word and a byte at a time.
    function testFuzz_reader_findsTheFewVoidsOfALargeEpoch(uint256 seed, uint256 first, uint256 second) public view {
        EpochBuilder.Draft memory draft = randomDraft(seed, 3, 5);
        for (uint256 g = 0; g < 3; ++g) {
            draft.groups[g].rows = manyRows(uint256(keccak256(abi.encode(seed, g))));
        }
        uint256 count = draft.count();
        if (seed % 3 > 0) rowAt(draft, first % count).isVoid = true;
        if (seed % 3 > 1) rowAt(draft, second % count).isVoid = true;
        bytes memory packed = draft.pack();
        Reading memory fast = this.readFast(packed, count);
        Reading memory plain = readPlain(packed, count, draft.operatorIds);
        vm.assertEq(fast.root, plain.root);
        vm.assertEq(keccak256(abi.encode(fast.groupSums)), keccak256(abi.encode(plain.groupSums)));
        vm.assertEq(keccak256(abi.encode(fast.grossUnits)), keccak256(abi.encode(plain.grossUnits)));
    }

    /// @notice Covers: A14. Whatever is done to the bytes, and whatever count stands beside them: both readers refuse,
    /// or both take them and read the same root, groups, caps, sums and credits.
    function testFuzz_reader_agreesOnHostileBytes(uint256 seed, uint256[4] memory positions, uint256[4] memory changes)
        public
        view
    {
        EpochBuilder.Draft memory draft = randomDraft(seed, 1 + seed % 4, 3);
        bytes memory packed = draft.pack();
        for (uint256 i = 0; i <= seed % positions.length; ++i) {
            if (packed.length > 0) packed = mutate(packed, positions[i], changes[i]);
        }
        uint256 count = draft.count();
        if (uint8(changes[0] >> 16) < 32) count = uint8(changes[0] >> 24) % 32;
        try this.readFast(packed, count) returns (Reading memory fast) {
            vm.assertEq(keccak256(abi.encode(fast)), keccak256(abi.encode(this.readHostile(packed, count))));
        } catch {
            (bool plainTakesIt,) = address(this).staticcall(abi.encodeCall(this.readHostile, (packed, count)));
            vm.assertFalse(plainTakesIt);
        }
    }

    function test_open_refusesSpareBits() public {
        bytes memory packed = randomDraft(1, 1, 1).pack();
        uint256 count = randomDraft(1, 1, 1).count();
        packed[6 + (count - 1) / 8] = 0xff;
        vm.assertTrue(count % 8 != 0);
        vm.expectPartialRevert(PackedEpoch.PackedEpoch_SpareBitsSet.selector);
        this.readFast(packed, count);
        vm.expectRevert(
            abi.encodeWithSelector(PackedEpochReference.PackedEpochReference_Malformed.selector, "spare bits")
        );
        this.readHostile(packed, count);
    }

    function test_close_refusesTrailingBytes() public {
        EpochBuilder.Draft memory draft = randomDraft(1, 2, 2);
        bytes memory packed = abi.encodePacked(draft.pack(), uint8(0));
        uint256 count = draft.count();
        vm.expectRevert(
            abi.encodeWithSelector(PackedEpoch.PackedEpoch_TrailingBytes.selector, packed.length - 1, packed.length)
        );
        this.readFast(packed, count);
    }

    function test_next_refusesMissingBytesAndMissingGroups() public {
        EpochBuilder.Draft memory draft = randomDraft(1, 2, 2);
        bytes memory packed = draft.pack();
        uint256 count = draft.count();
        vm.expectPartialRevert(PackedEpoch.PackedEpoch_Truncated.selector);
        this.readFast(packed, 8 * ((count + 7) / 8));
        for (uint256 length = 0; length < packed.length; ++length) {
            bytes memory part = head(packed, length);
            vm.expectPartialRevert(PackedEpoch.PackedEpoch_Truncated.selector);
            this.readFast(part, count);
        }
    }

    /// @notice Covers: A37.
    function test_next_refusesAGroupOfNoneOrTooMany() public {
        EpochBuilder.Draft memory draft = randomDraft(1, 1, 1);
        draft.groups[0].capProof.cap = 0;
        bytes memory packed = draft.pack();
        uint256 count = draft.count();
        uint256 rowsAt = 6 + (count + 7) / 8 + 48;
        packed[rowsAt + 1] = bytes1(uint8(count + 1));
        vm.expectRevert(abi.encodeWithSelector(PackedEpoch.PackedEpoch_WrongGroupSize.selector, count + 1, count));
        this.readFast(packed, count);
        packed[rowsAt + 1] = 0;
        vm.expectRevert(abi.encodeWithSelector(PackedEpoch.PackedEpoch_WrongGroupSize.selector, 0, count));
        this.readFast(packed, count);
    }

    /// @notice Covers: A14.
    function test_next_refusesAnOperatorBeyondTheList() public {
        EpochBuilder.Draft memory draft = randomDraft(1, 1, 2);
        uint256 count = draft.count();
        draft.groups[0].rows[count - 1].opIndex = 2;
        bytes memory packed = draftWithThree(draft).pack();
        packed[1] = 0x02;
        bytes memory two = abi.encodePacked(head(packed, 10), tail(packed, 14));
        vm.expectRevert(abi.encodeWithSelector(PackedEpoch.PackedEpoch_OperatorIndexOutOfRange.selector, 2, 2));
        this.readFast(two, count);
        vm.expectRevert(
            abi.encodeWithSelector(PackedEpochReference.PackedEpochReference_Malformed.selector, "operator index")
        );
        this.readHostile(two, count);
    }

    function test_read_noRows() public view {
        Reading memory fast = this.readFast(hex"0000", 0);
        vm.assertEq(fast.root, bytes32(0));
        vm.assertEq(fast.skippedBits, "");
    }

    // ---------------------------------------------------------------- the two readings

    function readFast(bytes calldata packed, uint256 count) external pure returns (Reading memory reading) {
        PackedEpoch.Reader memory reader = PackedEpoch.open(packed, count);
        PackedEpoch.Group memory group;
        reading.groupSums = new uint256[](count);
        for (uint256 g = 0; reader.row < reader.count; ++g) {
            PackedEpoch.next(packed, reader, group);
            reading.groupSums[g] = group.sumUnits;
            CapProof memory proof = group.capProof.cap > 0 ? group.capProof : CapProof(0, 0, 0, 0);
            reading.capsHash = keccak256(abi.encode(reading.capsHash, group.requester, group.signer, proof));
            if (g % 2 == 1) PackedEpoch.skip(packed, reader, group);
        }
        reading.root = PackedEpoch.close(packed, reader);
        reading.skippedBits = reader.skippedBits;
        reading.grossUnits = new uint256[](reader.nOps);
        for (uint256 i = 0; i < reader.nOps; ++i) {
            (uint32 operatorId,) = PackedEpoch.tallyOf(reader, i);
            for (uint256 j = 0; j < reader.nOps; ++j) {
                (uint32 listedId, uint256 units) = PackedEpoch.tallyOf(reader, j);
                if (listedId == operatorId) reading.grossUnits[i] += units;
            }
        }
    }

    function readPlain(bytes memory packed, uint256 count, uint32[] memory operatorIds)
        private
        pure
        returns (Reading memory reading)
    {
        (PackedEpochReference.Group[] memory groups, uint256 groupCount) = PackedEpochReference.read(packed, count);
        reading.root = PackedEpochReference.root(groups, groupCount, count);
        reading.groupSums = new uint256[](count);
        reading.grossUnits = new uint256[](operatorIds.length);
        reading.skippedBits = new bytes((count + 7) / 8);
        uint256 row = 0;
        for (uint256 g = 0; g < groupCount; ++g) {
            PackedEpochReference.Group memory group = groups[g];
            reading.capsHash = keccak256(abi.encode(reading.capsHash, group.requester, group.signer, group.capProof));
            for (uint256 i = 0; i < group.rows.length; ++i) {
                if (g % 2 == 1) EpochBuilder.setBit(reading.skippedBits, row);
                ++row;
                if (group.rows[i].isVoid) continue;
                reading.groupSums[g] += group.rows[i].amountUnits;
                if (g % 2 == 1) continue;
                for (uint256 o = 0; o < operatorIds.length; ++o) {
                    if (operatorIds[o] == group.rows[i].operatorId) {
                        reading.grossUnits[o] += group.rows[i].amountUnits;
                    }
                }
            }
        }
    }

    /// @dev Bytes that were tampered with name their operators themselves, perhaps one twice.
    function readHostile(bytes calldata packed, uint256 count) external pure returns (Reading memory) {
        PackedEpochReference.read(packed, count);
        uint32[] memory operatorIds = new uint32[](uint16(bytes2(packed[:2])));
        for (uint256 i = 0; i < operatorIds.length; ++i) {
            operatorIds[i] = uint32(bytes4(packed[2 + 4 * i:6 + 4 * i]));
        }
        return readPlain(packed, count, operatorIds);
    }

    // ---------------------------------------------------------------- drafts and bytes

    function randomDraft(uint256 seed, uint256 lanes, uint256 operators)
        private
        pure
        returns (EpochBuilder.Draft memory draft)
    {
        draft.operatorIds = new uint32[](operators);
        for (uint32 i = 0; i < operators; ++i) {
            draft.operatorIds[i] = 1 + i * 0x01020304;
        }
        draft.groups = new EpochBuilder.Group[](lanes);
        for (uint256 g = 0; g < lanes; ++g) {
            bytes32 random = keccak256(abi.encode(seed, g));
            EpochBuilder.Group memory group = draft.groups[g];
            group.requester = address(bytes20(random));
            group.signer = address(uint160(uint256(random)));
            if (uint8(random[31]) % 3 > 0) {
                group.capProof = CapProof(uint64(uint256(random) >> 64), random, keccak256("r"), keccak256("vs"));
            }
            group.rows = new EpochBuilder.Row[](1 + uint8(random[30]) % 6);
            for (uint256 i = 0; i < group.rows.length; ++i) {
                bytes32 digest = keccak256(abi.encode(seed, g, i));
                uint16 opIndex = uint16(uint8(digest[0]) % operators);
                bool isVoid = uint8(digest[1]) % 4 == 0;
                group.rows[i] = EpochBuilder.Row(opIndex, uint48(uint256(digest)), digest, isVoid);
            }
        }
    }

    function manyRows(uint256 seed) private pure returns (EpochBuilder.Row[] memory rows) {
        rows = new EpochBuilder.Row[](1 + ((seed % 250) >> (seed >> 8) % 6));
        for (uint256 i = 0; i < rows.length; ++i) {
            bytes32 digest = keccak256(abi.encode(seed, i));
            rows[i] = EpochBuilder.Row(uint16(uint8(digest[0]) % 5), uint48(uint256(digest)), digest, false);
        }
    }

    function rowAt(EpochBuilder.Draft memory draft, uint256 row) private pure returns (EpochBuilder.Row memory) {
        uint256 g = 0;
        while (row >= draft.groups[g].rows.length) {
            row -= draft.groups[g++].rows.length;
        }
        return draft.groups[g].rows[row];
    }

    function draftWithThree(EpochBuilder.Draft memory draft) private pure returns (EpochBuilder.Draft memory) {
        draft.operatorIds = new uint32[](3);
        return draft;
    }

    /// @dev One byte changed, or the end cut off, or something appended.
    function mutate(bytes memory packed, uint256 position, uint256 change) private pure returns (bytes memory) {
        position %= packed.length;
        if (change % 8 == 0) return head(packed, position);
        if (change % 8 == 1) return abi.encodePacked(packed, keccak256(abi.encode(change)));
        // Small positions hold the list, the void bits and the first head: aim there most of the time.
        if (change % 8 < 6) position %= 80;
        if (position < packed.length) packed[position] = bytes1(uint8(change >> 8));
        return packed;
    }

    function head(bytes memory data, uint256 length) private pure returns (bytes memory part) {
        part = new bytes(length);
        for (uint256 i = 0; i < length; ++i) {
            part[i] = data[i];
        }
    }

    function tail(bytes memory data, uint256 from) private pure returns (bytes memory part) {
        part = new bytes(data.length - from);
        for (uint256 i = 0; i < part.length; ++i) {
            part[i] = data[from + i];
        }
    }
}
