// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IJobEscrow} from "src/interfaces/IJobEscrow.sol";
import {ISlashingCourt} from "src/interfaces/ISlashingCourt.sol";
import {ChargeWindow} from "src/libraries/ChargeWindow.sol";
import {Merkle} from "src/libraries/Merkle.sol";
import {CapProof, EpochStatus, LeafStatus, Outcomes, SkipReason} from "src/libraries/Types.sol";
import {vm} from "../utils/Vm.sol";
import {Rows} from "./Rows.sol";

/// @notice What the settler does while it lives, honestly or not, and what anyone can do about leaves without it.
abstract contract Settling is Rows {
    uint64 private oldest = 1; // no epoch before it can still be settled

    // ---------------------------------------------------------------- epochs

    function postRows(uint256 seed) external turn {
        seed = mixed(seed);
        if (settlerIsDead) return;
        if (seed % 16 != 0) vm.roll(vm.getBlockNumber() + 3);
        (EpochBook storage epoch, uint64 id) = makeEpoch(seed >> 8);
        bool posted = post(id, Merkle.root(epoch.nodes), epoch.count);
        if (posted) hit("postRows");
        for (uint256 i = epoch.count; i > 0; --i) {
            if (!posted) leafBooks.pop();
            else if (leafBooks[leafBooks.length - i].kind & REPEATED != 0) repeated.push(leafBooks.length - i);
        }
        if (!posted) delete epochBooks[id];
    }

    function postNothing(uint256 seed) external turn {
        seed = mixed(seed);
        if (settlerIsDead) return;
        postEmpty(seed % 8 == 0 ? 0 : 3);
    }

    function postEmpty(uint256 blocks) private {
        vm.roll(vm.getBlockNumber() + blocks);
        if (post(lastEpoch + 1, 0, 0)) hit("postNothing");
    }

    function post(uint64 id, bytes32 root, uint16 count) private returns (bool done) {
        bytes memory data = abi.encodeCall(escrow.postEpoch, (id, root, count, beaconChain[beaconAt - 1], 0));
        done = attempt(settler, address(escrow), data, postRefusal(count));
        if (!done) return false;
        --beaconAt;
        lastEpoch = id;
        EpochBook storage epoch = epochBooks[id];
        (epoch.postedAt, epoch.postedBlock) = (uint40(time()), uint40(vm.getBlockNumber()));
        if (paused) hit("post.emptyInPause");
    }

    function postRefusal(uint16 count) private returns (bytes4) {
        EpochBook storage previous = epochBooks[lastEpoch];
        if (previous.count != 0 && vm.getBlockNumber() <= previous.postedBlock + 2) {
            hit("post.seedBlockAhead");
            return IJobEscrow.JobEscrow_SeedBlockAhead.selector;
        }
        if (count == 0) return 0;
        if (paused) {
            hit("post.paused");
            return IJobEscrow.JobEscrow_IsPaused.selector;
        }
        if (unbondAt == 0) return 0;
        hit("post.unbonding");
        return IJobEscrow.JobEscrow_SettlerIsUnbonding.selector;
    }

    /// @notice Settles the oldest epoch that can be, having revealed its seed and waited for its checks, mostly; one call
    /// in eight tries any epoch.
    function settle(uint256 seed) external turn {
        seed = mixed(seed);
        if (settlerIsDead || lastEpoch == 0) return;
        while (oldest < lastEpoch && (epochBooks[oldest].count == 0 || isFinal(oldest))) ++oldest;
        uint64 id = seed % 8 == 0 ? uint64(1 + (seed >> 8) % lastEpoch) : oldest;
        if (id == lastEpoch && seed % 4 != 1) postEmpty(3);
        uint256 checkedAt = epochBooks[id + 1].postedAt + CHECK_WAIT;
        bool waits = id < lastEpoch && !isFinal(id) && time() < checkedAt && (seed >> 16) % 4 != 0;
        if (waits) vm.warp(checkedAt);
        settleRecord(id, seed >> 24);
    }

    function settleRecord(uint64 id, uint256 seed) private {
        Plan memory plan = planOf(id, voidsOf(id, seed), seed >> 16);
        bool forged = seed % 16 == 0 && epochBooks[id].count > 0;
        bytes memory packed = packedOf(id, plan);
        if (forged) packed[packed.length - 1] ^= 0x01;
        bytes memory data = abi.encodeCall(escrow.settleEpoch, (id, packed));
        if (!attempt(settler, address(escrow), data, settleRefusal(id, plan.charged, forged))) return;
        EpochBook storage epoch = epochBooks[id];
        (epoch.settled, epoch.voidSet, epoch.skippedSet) = (true, uint16(plan.voidSet), uint16(plan.skippedSet));
        noteSettled(id, plan);
        if (epoch.count == 0) return;
        hit("settle");
        if (plan.voidSet != 0) hit("settle.void");
        if (paused) hit("settle.paused");
    }

    function noteSettled(uint64 id, Plan memory plan) private {
        EpochBook storage epoch = epochBooks[id];
        ++epoch.timesSettled;
        I12_epochIsSettledAtMostOnce(epoch);
        for (uint256 i = epoch.firstLeaf; i < epoch.firstLeaf + epoch.count; ++i) {
            bool charged = ((plan.voidSet | plan.skippedSet) >> leafBooks[i].index) & 1 == 0;
            if (charged) notePaid(i, epoch.postedAt);
        }
        for (uint256 l = 0; l < LANES; ++l) {
            (lanes[l].balance, lanes[l].charged, lanes[l].capProven) =
            (plan.lanes[l][0], plan.lanes[l][1], plan.lanes[l][2]);
        }
        for (uint256 a = 0; a < ACCOUNTS; ++a) {
            if (plan.gross[a] > 0) noteCredit(a, plan.gross[a]);
        }
        spend(plan.charged);
        I11_skipsOnlyForTheFourReasons(id);
    }

    /// @dev Rows that a ruling found wrong; and one row in sixteen for no reason at all.
    function voidsOf(uint64 id, uint256 seed) private view returns (uint256 set) {
        EpochBook storage epoch = epochBooks[id];
        for (uint256 i = 0; i < epoch.count; ++i) {
            bool guilty = rulingOf(epoch.firstLeaf + i) == ISlashingCourt.Ruling.NODE_GUILTY;
            if (guilty || (seed >> 8 + 4 * i) % 16 == 0) set |= 1 << i;
        }
    }

    function settleRefusal(uint64 id, uint256 charged, bool forged) private returns (bytes4) {
        EpochStatus status = epochStatus(id);
        if (status == EpochStatus.SETTLED) {
            hit("settle.again");
            return IJobEscrow.JobEscrow_AlreadySettled.selector;
        }
        if (status == EpochStatus.STRANDED) {
            hit("settle.stranded");
            return IJobEscrow.JobEscrow_EpochStranded.selector;
        }
        if (status == EpochStatus.POSTED || time() < epochBooks[id + 1].postedAt + CHECK_WAIT) {
            hit("settle.early");
            return IJobEscrow.JobEscrow_CheckPeriodRuns.selector;
        }
        if (forged) {
            hit("settle.forged");
            return IJobEscrow.JobEscrow_WrongRoot.selector;
        }
        return windowRefusal(charged);
    }

    function windowRefusal(uint256 charged) private returns (bytes4) {
        if (spentLately() + charged <= bond) return 0;
        hit("charge.aboveBond");
        return ChargeWindow.ChargeWindow_AboveBond.selector;
    }

    function I12_epochIsSettledAtMostOnce(EpochBook storage epoch) private view {
        vm.assertEq(epoch.timesSettled, 1, "I12: settled twice");
    }

    /// @dev The contract's outcomes are a hash of the bits that the model expects, and of nothing else.
    function I11_skipsOnlyForTheFourReasons(uint64 id) private view {
        Outcomes memory expected = outcomesOf(id);
        uint160 outcomes = uint160(uint256(keccak256(abi.encodePacked(expected.voidBits, expected.skippedBits))));
        vm.assertEq(escrow.epochs(id).outcomes, outcomes, "I11: void and skipped rows are those expected");
    }

    // ---------------------------------------------------------------- leaves one by one

    /// @notice A node brings two leaves that wait to be paid; where none is found, and for the first one time in eight, any.
    function settleOne(uint256 seed) external turn {
        seed = mixed(seed);
        if (leafBooks.length == 0) return;
        payOne(seed % 8 == 0 ? (seed >> 8) % leafBooks.length : pickUncharged(seed >> 8), seed >> 16);
        payOne(pickUncharged(seed >> 32), seed >> 40);
    }

    function payOne(uint256 i, uint256 seed) internal returns (bool done) {
        LeafBook storage leaf = leafBooks[i];
        (CapProof memory proof, bool genuine) = capFor(i, 1, seed);
        LaneBook storage paying = lanes[leaf.lane];
        uint64[3] memory books = [paying.balance, paying.charged, paying.capProven];
        bytes4 refusal = settleOneRefusal(leaf, books, proof.cap, genuine);
        bytes memory data = abi.encodeCall(escrow.settleOne, (proofOf(i), outcomesOf(leaf.epochId), proof));
        if (!attempt(anyone, address(escrow), data, refusal)) return false;
        (paying.balance, paying.charged, paying.capProven) = (books[0], books[1], books[2]);
        notePaid(i, uint40(time()));
        noteCredit(leaf.account, leaf.amount);
        spend(leaf.amount);
        hit("settleOne");
        hit(
            epochStatus(leaf.epochId) == EpochStatus.STRANDED
                ? bytes32("settleOne.stranded")
                : bytes32("settleOne.skipped")
        );
        if (settlerIsDead) hit("settleOne.settlerIsDead");
        if (paused) hit("settleOne.paused");
        return true;
    }

    function pickUncharged(uint256 seed) private view returns (uint256 i) {
        uint256 among = leafBooks.length < 64 ? leafBooks.length : 64;
        for (uint256 k = 0; k < 16; ++k) {
            i = leafBooks.length - 1 - (seed % among + k) % among;
            LeafBook storage leaf = leafBooks[i];
            if (!isFinal(leaf.epochId)) continue;
            LeafStatus status = leafStatus(leaf);
            if (status == (seed % 4 == 1 ? LeafStatus.CLOSED : LeafStatus.UNCHARGED)) return i;
        }
    }

    function settleOneRefusal(LeafBook storage leaf, uint64[3] memory books, uint64 cap, bool genuine)
        private
        returns (bytes4)
    {
        if (!isFinal(leaf.epochId)) {
            hit("settleOne.notFinal");
            return IJobEscrow.JobEscrow_LeafNotFinal.selector;
        }
        LeafStatus status = leafStatus(leaf);
        if (status != LeafStatus.UNCHARGED) {
            bytes32[5] memory branches =
                [bytes32(""), "settleOne.wasPaid", "settleOne.wasVoid", "settleOne.wasClosed", "settleOne.wasRefunded"];
            hit(branches[uint256(status)]);
            return IJobEscrow.JobEscrow_LeafNotPayable.selector;
        }
        SkipReason reason = chargePlan(books, leaf.lane, leaf.amount, cap, genuine);
        if (reason == SkipReason.NONE) return windowRefusal(leaf.amount);
        bytes32[5] memory reasons = [bytes32(""), "skip.balance", "skip.cap", "skip.signature", "skip.expired"];
        hit(reasons[uint256(reason)]);
        return IJobEscrow.JobEscrow_LaneDoesNotCover.selector;
    }

    // ---------------------------------------------------------------- the settler's bond

    /// @notice Adds to the bond, starts to take it out, takes it out; by the settler, or adds to it by a stranger.
    function moveBond(uint256 seed) external turn {
        seed = mixed(seed);
        if (seed % 2 == 0) addBond(accounts[0].owner, 1 + uint64((seed >> 8) % 1e5));
        else if (settlerIsDead) return;
        else if (unbondAt == 0 && seed % 16 < 4) startUnbonding();
        else if (unbondAt != 0) takeBond(seed >> 8);
        else if (bond < SMALL_BOND) addBond(settler, SMALL_BOND - bond);
    }

    function addBond(address payer, uint64 units) private {
        bytes4 refusal = tokenRefusal(payer, address(escrow));
        if (!attempt(payer, address(escrow), abi.encodeCall(escrow.bondSettler, (units)), refusal)) return;
        bond += units;
        move(payer, address(escrow), units);
        if (payer == settler && unbondAt != 0) hit("bond.unbondingEnded");
        if (payer == settler) unbondAt = 0;
        hit("moveBond");
    }

    function startUnbonding() private {
        attempt(settler, address(escrow), abi.encodeCall(escrow.unbondSettler, ()), 0);
        unbondAt = uint40(time());
        hit("bond.unbonding");
    }

    function takeBond(uint256 seed) private {
        if (seed % 8 == 0) return addBond(settler, SMALL_BOND);
        if (seed % 2 == 0 && time() < unbondAt + UNBOND) vm.warp(unbondAt + UNBOND);
        if ((seed >> 8) % 2 == 0) return;
        bytes4 refusal = bondRefusal();
        if (!attempt(settler, address(escrow), abi.encodeCall(escrow.withdrawBond, ()), refusal)) return;
        I16_bondLeavesOnlyWhenNothingIsRefundable();
        move(address(escrow), treasury, bond);
        bond = 0;
        hit("bond.withdrawn");
        addBond(settler, SMALL_BOND);
    }

    function bondRefusal() private returns (bytes4) {
        if (time() < unbondAt + UNBOND) {
            hit("bond.locked");
            return IJobEscrow.JobEscrow_BondLocked.selector;
        }
        if (spentLately() == 0) return tokenRefusal(address(escrow), treasury);
        hit("bond.chargedLately");
        return IJobEscrow.JobEscrow_ChargedLately.selector;
    }

    function I16_bondLeavesOnlyWhenNothingIsRefundable() private {
        rollWindow();
        vm.assertEq(windowUnits, 0, "I16: the bond left while a charge of the last window stood");
        vm.assertTrue(time() >= unbondAt + UNBOND, "I16: the bond left before it was unbonded");
    }
}
