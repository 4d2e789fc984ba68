// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {CapProof, Lane, LeafProof, Outcomes, SkipReason} from "src/libraries/Types.sol";
import {EpochBuilder} from "../utils/EpochBuilder.sol";
import {Network} from "../utils/Network.sol";
import {vm} from "../utils/Vm.sol";

/// @notice Covers: A14, A35, A36. Epochs in which every lane may fail in any way.
contract HostileEpochTest is Network {
    using EpochBuilder for EpochBuilder.Draft;

    uint256 private constant LANES = 4;
    uint64 private constant FUNDS = 1000;

    struct Expected {
        bool skipped;
        Lane before;
        uint256 sumUnits;
    }

    function setUp() public override {
        super.setUp();
        registerOperator("operator0", 0);
        registerOperator("operator1", 0);
        for (uint256 i = 0; i < LANES; ++i) {
            address requester = addressOf(nameOf(i));
            fund(requester, requester, FUNDS);
            fund(requester, addressOf("session"), FUNDS);
        }
        vm.warp(lane(addressOf("lane0"), addressOf("session")).expiry + NOTICE + 1);
    }

    /// @notice Covers: A14, A25, A35. Each lane that fails is skipped and untouched; each other pays exactly its rows;
    /// every unit charged is either credited or a fee; the skipped rows are payable later, each once, as far as the lane
    /// covers them.
    function testFuzz_epoch_settlesTheRest(uint256 seed) public {
        EpochBuilder.Draft memory draft = hostileDraft(seed);
        Expected[] memory expected = new Expected[](LANES);
        for (uint256 g = 0; g < LANES; ++g) {
            EpochBuilder.Group memory group = draft.groups[g];
            expected[g].before = lane(group.requester, group.signer);
            expected[g].sumUnits = EpochBuilder.sumUnits(group);
            expected[g].skipped = faultOf(seed, g) != SkipReason.NONE;
        }
        uint64 id = postAndSettle(draft);

        bytes memory skippedBits = new bytes((uint256(draft.count()) + 7) / 8);
        uint256 charged = 0;
        for (uint256 g = 0; g < LANES; ++g) {
            EpochBuilder.Group memory group = draft.groups[g];
            Lane memory then = lane(group.requester, group.signer);
            uint256 paid = expected[g].skipped ? 0 : expected[g].sumUnits;
            vm.assertEq(then.balanceUnits, expected[g].before.balanceUnits - paid, "balance");
            vm.assertEq(then.chargedUnits, expected[g].before.chargedUnits + paid, "charged");
            vm.assertLe(then.chargedUnits, then.capProvenUnits, "charged within what was signed");
            charged += paid;
            if (expected[g].skipped) markGroup(skippedBits, draft, g);
        }
        assertBooks(charged);
        payOneByOne(draft, id, skippedBits);
    }

    /// @dev Anybody tries every leaf twice, in its lane's turn with a good cap.
    function payOneByOne(EpochBuilder.Draft memory draft, uint64 id, bytes memory skippedBits) private {
        Outcomes memory outcomes = Outcomes(draft.voidBits(), skippedBits);
        uint256 charged = chargedInAll();
        for (uint256 g = 0; g < LANES; ++g) {
            for (uint256 row = 0; row < draft.groups[g].rows.length; ++row) {
                LeafProof memory proof = draft.proofOf(id, g, row);
                bool expected = isPayable(draft, g, row, skippedBits);
                vm.assertTrue(settles(proof, outcomes, g) == expected);
                vm.assertFalse(settles(proof, outcomes, g));
                if (expected) charged += proof.amountUnits;
            }
        }
        vm.assertEq(chargedInAll(), charged, "charged in all");
        assertBooks(charged);
    }

    function isPayable(EpochBuilder.Draft memory draft, uint256 g, uint256 row, bytes memory skippedBits)
        private
        view
        returns (bool)
    {
        EpochBuilder.Group memory group = draft.groups[g];
        bool waits = isSet(skippedBits, draft.firstRow(g) + row) && !group.rows[row].isVoid;
        bool covered = group.rows[row].amountUnits <= lane(group.requester, group.signer).balanceUnits;
        return waits && covered && group.signer == group.requester;
    }

    /// @dev With a cap that the lane's signer signed.
    function settles(LeafProof memory proof, Outcomes memory outcomes, uint256 g) private returns (bool success) {
        bool own = proof.signer == proof.requester;
        CapProof memory cap = signCap(own ? keyOf(nameOf(g)) : keyOf("session"), proof.requester, type(uint64).max);
        (success,) = address(escrow).call(abi.encodeCall(escrow.settleOne, (proof, outcomes, cap)));
    }

    function chargedInAll() private view returns (uint256 charged) {
        for (uint256 g = 0; g < LANES; ++g) {
            address requester = addressOf(nameOf(g));
            charged += lane(requester, requester).chargedUnits + lane(requester, addressOf("session")).chargedUnits;
        }
    }

    function assertBooks(uint256 charged) private view {
        uint256 credits = escrow.operators(1).earnedUnits + escrow.operators(2).earnedUnits;
        vm.assertEq(escrow.totals().creditsUnits, credits, "credits");
        vm.assertEq(credits + escrow.totals().feesUnits, charged, "credits and fees");
        vm.assertEq(escrow.totals().balancesUnits, 2 * LANES * FUNDS - charged, "balances");
        assertConserved();
    }

    // ---------------------------------------------------------------- drafts

    function faultOf(uint256 seed, uint256 g) private pure returns (SkipReason) {
        return SkipReason(uint256(keccak256(abi.encode(seed, g, "fault"))) % 5);
    }

    function hostileDraft(uint256 seed) private view returns (EpochBuilder.Draft memory draft) {
        draft.operatorIds = new uint32[](2);
        (draft.operatorIds[0], draft.operatorIds[1]) = (1, 2);
        draft.groups = new EpochBuilder.Group[](LANES);
        for (uint256 g = 0; g < LANES; ++g) {
            draft.groups[g] = hostileGroup(seed, g, faultOf(seed, g));
        }
    }

    function hostileGroup(uint256 seed, uint256 g, SkipReason fault)
        private
        view
        returns (EpochBuilder.Group memory group)
    {
        uint256 random = uint256(keccak256(abi.encode(seed, g)));
        group.requester = addressOf(nameOf(g));
        group.signer = fault == SkipReason.EXPIRED ? addressOf("session") : group.requester;
        group.rows = new EpochBuilder.Row[](2 + random % 4);
        for (uint256 i = 0; i < group.rows.length; ++i) {
            bytes32 digest = keccak256(abi.encode(random, i));
            // The first row is never void, so every group has something to pay.
            bool isVoid = i > 0 && uint8(digest[0]) % 3 == 0;
            group.rows[i] = EpochBuilder.Row(uint8(digest[1]) % 2, 1 + uint48(uint8(digest[2])) % 200, digest, isVoid);
        }
        if (fault == SkipReason.BALANCE) group.rows[0].amountUnits = type(uint48).max - uint48(random % 1000);
        uint64 sum = uint64(EpochBuilder.sumUnits(group));
        uint256 key = fault == SkipReason.EXPIRED ? keyOf("session") : keyOf(nameOf(g));
        if (fault == SkipReason.SIGNATURE) key = keyOf("stranger");
        group.capProof = signCap(key, group.requester, fault == SkipReason.CAP ? sum - 1 : sum);
    }

    function nameOf(uint256 i) private pure returns (string memory) {
        return string.concat("lane", vm.toString(i));
    }

    function markGroup(bytes memory bits, EpochBuilder.Draft memory draft, uint256 g) private pure {
        for (uint256 i = 0; i < draft.groups[g].rows.length; ++i) {
            EpochBuilder.setBit(bits, draft.firstRow(g) + i);
        }
    }

    function isSet(bytes memory bits, uint256 row) private pure returns (bool) {
        return uint8(bits[row / 8]) >> (row % 8) & 1 == 1;
    }
}
