// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Origin} from "src/Origin.sol";
import {IContests} from "src/interfaces/IContests.sol";
import {IJobEscrow} from "src/interfaces/IJobEscrow.sol";
import {ISlashingCourt} from "src/interfaces/ISlashingCourt.sol";
import {IStakeManager} from "src/interfaces/IStakeManager.sol";
import {Network} from "../utils/Network.sol";
import {vm} from "../utils/Vm.sol";

/// @notice The contracts are created where they were foretold, as they were planned, by whoever sends the step; or not at
/// all. Covers: A28, A39.
contract OriginTest is Network {
    uint8 private constant STAKES = 1;
    uint8 private constant ESCROW = 2;
    uint8 private constant COURT = 3;
    uint8 private constant CONTESTS = 4;

    Origin private origin;
    Origin.Part[] private parts;
    bytes32[] private hashes;

    function setUp() public override {
        super.setUp();
        // Siblings by the place of their address in the constructors' structs.
        addPart("StakeManager.sol", abi.encode(stakeParams(address(0), address(0))));
        parts[0].siblings[2] = ESCROW;
        parts[0].siblings[3] = COURT;
        addPart("JobEscrow.sol", abi.encode(escrowParams(address(0), address(0), address(0))));
        parts[1].siblings[3] = STAKES;
        parts[1].siblings[4] = COURT;
        parts[1].siblings[5] = CONTESTS;
        addPart("SlashingCourt.sol", abi.encode(courtParams(address(0), address(0))));
        (parts[2].siblings[0], parts[2].siblings[1]) = (ESCROW, STAKES);
        addPart("Contests.sol", abi.encode(contestParams(address(0), address(0))));
        (parts[3].siblings[2], parts[3].siblings[3]) = (ESCROW, STAKES);
        plan();
    }

    function test_create_bindsSiblingsWhereTheyWereForetold() public {
        address[] memory foretold = new address[](4);
        for (uint8 i = 0; i < 4; ++i) {
            foretold[i] = origin.addressOf(i + 1);
            assert(foretold[i].code.length == 0);
        }
        for (uint8 i = 0; i < 4; ++i) {
            vm.prank(addressOf(i == 2 ? "somebody" : "deployer"));
            vm.assertEq(origin.create(hashes, i + 1, parts[i]), foretold[i]);
        }
        IStakeManager stakes_ = IStakeManager(foretold[0]);
        IJobEscrow escrow_ = IJobEscrow(foretold[1]);
        vm.assertEq(stakes_.ESCROW(), address(escrow_));
        vm.assertEq(stakes_.COURT(), foretold[2]);
        vm.assertEq(stakes_.GOVERNOR(), governor);
        vm.assertEq(escrow_.STAKE_MANAGER(), address(stakes_));
        vm.assertEq(escrow_.COURT(), foretold[2]);
        vm.assertEq(escrow_.CONTESTS(), foretold[3]);
        vm.assertEq(escrow_.ORDER_TTL(), 120);
        vm.assertEq(ISlashingCourt(foretold[2]).STAKE_MANAGER(), address(stakes_));
        vm.assertEq(IContests(foretold[3]).STAKE_MANAGER(), address(stakes_));
    }

    function test_create_whenTheHashesAreNotThePlans_reverts() public {
        bytes32 planned = origin.PLAN();
        hashes[3] = keccak256("another part");
        vm.expectRevert(
            abi.encodeWithSelector(Origin.Origin_OtherPlan.selector, planned, keccak256(abi.encode(hashes)))
        );
        origin.create(hashes, 1, parts[0]);
    }

    /// @notice However a part is changed, also into another part of the plan.
    function test_create_whenThePartDiffers_reverts() public {
        Origin.Part memory part = parts[0];
        part.code[7] ^= 0x01;
        expectOtherPart(1, part);
        part = parts[0];
        part.words[1] = bytes32(uint256(uint160(address(this))));
        expectOtherPart(1, part);
        part = parts[0];
        part.siblings[2] = CONTESTS;
        expectOtherPart(1, part);
        expectOtherPart(1, parts[1]);
    }

    function test_create_whenTheNumberIsNoParts_reverts() public {
        vm.expectRevert(abi.encodeWithSignature("Panic(uint256)", 0x11));
        origin.create(hashes, 0, parts[0]);
        vm.expectRevert(abi.encodeWithSignature("Panic(uint256)", 0x32));
        origin.create(hashes, 5, parts[0]);
    }

    function test_create_givenAPartThatWasCreated_reverts() public {
        address made = origin.create(hashes, 1, parts[0]);
        vm.expectRevert(abi.encodeWithSelector(Origin.Origin_AlreadyCreated.selector, 1, made));
        origin.create(hashes, 1, parts[0]);
    }

    /// @notice And leaves no trace: the part can be created once what it needs is there.
    function test_create_whenTheConstructorRefuses_revertsWithItsError() public {
        parts[0].siblings[3] = CONTESTS;
        plan();
        for (uint8 i = 0; i < 2; ++i) {
            origin.create(hashes, i + 1, parts[i]);
        }
        vm.expectRevert(abi.encodeWithSelector(ISlashingCourt.SlashingCourt_Miswired.selector));
        origin.create(hashes, COURT, parts[2]);
        vm.assertEq(origin.addressOf(COURT).code.length, 0);
        origin.create(hashes, CONTESTS, parts[3]);
    }

    function addPart(string memory file, bytes memory arguments) private {
        Origin.Part storage part = parts.push();
        part.code = vm.getCode(file);
        for (uint256 place = 32; place <= arguments.length; place += 32) {
            bytes32 word;
            assembly ("memory-safe") {
                word := mload(add(arguments, place))
            }
            part.words.push(word);
            part.siblings.push(0);
        }
    }

    function plan() private {
        delete hashes;
        for (uint256 i = 0; i < parts.length; ++i) {
            hashes.push(keccak256(abi.encode(parts[i])));
        }
        origin = new Origin(keccak256(abi.encode(hashes)));
    }

    function expectOtherPart(uint256 number, Origin.Part memory part) private {
        bytes32 found = keccak256(abi.encode(part));
        vm.expectRevert(abi.encodeWithSelector(Origin.Origin_OtherPart.selector, number, hashes[number - 1], found));
        origin.create(hashes, number, part);
    }
}
