// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IContests} from "src/interfaces/IContests.sol";
import {ISlashingCourt} from "src/interfaces/ISlashingCourt.sol";
import {IStakeManager} from "src/interfaces/IStakeManager.sol";
import {EpochStatus, Lane, LeafStatus, OperatorCredit, SettlerBond, Totals} from "src/libraries/Types.sol";
import {vm} from "../utils/Vm.sol";
import {Rows} from "./Rows.sol";

/// @notice The invariants of README.md, each under its number. I11, I16, I20, I21 and I25 stand where their move is.
abstract contract Invariants is Rows {
    /// @dev At the end of each move: the books, the leaves that the move changed, and one of the others. Here and not in
    /// the test's invariant, because what that one writes down is forgotten.
    function checkAfterMove() internal override {
        checkBooks();
        for (uint256 k = 0; k < touched.length; ++k) {
            checkLeaf(touched[k]);
        }
        delete touched;
        if (leafBooks.length > 0) checkLeaf(turns % leafBooks.length);
        for (uint64 id = lastEpoch > 2 ? lastEpoch - 2 : 1; id <= lastEpoch; ++id) {
            I22_epochsGoAlongTheArrows(id);
        }
        if (lastEpoch > 0) I22_epochsGoAlongTheArrows(uint64(1 + turns % lastEpoch));
    }

    /// @notice At the end of a run: everything.
    function checkEverything() public {
        checkMoney();
        checkBooks();
        for (uint256 i = 0; i < leafBooks.length; ++i) {
            checkLeaf(i);
        }
        for (uint64 id = 1; id <= lastEpoch; ++id) {
            I22_epochsGoAlongTheArrows(id);
        }
        for (uint256 i = 0; i < holders.length; ++i) {
            I05_everyTokenIsWhereTheModelHasIt(holders[i]);
        }
        I06_noTokenIsOutsideTheModel();
    }

    /// @notice After each move: the money.
    function checkMoney() public view {
        I01_escrowHoldsWhatItOwes();
        I02_stakesHoldWhatTheyOwe();
        I03_contestsHoldWhatTheyOwe();
        I04_totalsAreSums();
        I05_everyTokenIsWhereTheModelHasIt(sink);
        I05_everyTokenIsWhereTheModelHasIt(guardian);
        I05_everyTokenIsWhereTheModelHasIt(governor);
    }

    function checkBooks() private {
        for (uint256 l = 0; l < LANES; ++l) {
            I07_laneMovesOnlyByItsOwnMoves(l);
        }
        for (uint256 a = 0; a < ACCOUNTS; ++a) {
            I13_operatorIsOwedWhatItEarned(a);
            I17_stakeMovesOnlyByItsOwnMoves(a);
            if (a >= 2) I18_lockedStakeIsThere(a);
        }
        I14_chargesOfAWindowAreWithinTheBond();
        I15_bondMovesOnlyByItsOwnMoves();
    }

    function checkLeaf(uint256 i) private {
        if (isFinal(leafBooks[i].epochId)) I23_leavesGoAlongTheArrows(i);
        I09_leafIsPaidAtMostOnce(i);
        I10_leafIsRefundedAtMostItsCharge(i);
        if (contestBooks[i].contestedAt != 0) I24_contestsGoAlongTheArrows(i);
        if (caseBooks[i].commitEnds != 0) I26_casesGoAlongTheArrows(i);
    }

    // ---------------------------------------------------------------- conservation

    function I01_escrowHoldsWhatItOwes() private view {
        uint256 owed = uint256(fees) + bond;
        for (uint256 l = 0; l < LANES; ++l) {
            owed += lanes[l].balance;
        }
        for (uint256 a = 0; a < ACCOUNTS; ++a) {
            owed += accounts[a].earned - accounts[a].claimed;
        }
        uint256 expected = owed * UNIT + donatedWei[address(escrow)];
        vm.assertEq(
            token.balanceOf(address(escrow)), expected, "I01: escrow = balances + credits + fees + bond + donations"
        );
        vm.assertEq(escrow.held(), owed * UNIT, "I01: held = what is owed");
        vm.assertEq(escrow.donated(), donatedWei[address(escrow)], "I01: donated = donations");
    }

    function I02_stakesHoldWhatTheyOwe() private view {
        uint256 owed = 0;
        for (uint256 a = 0; a < ACCOUNTS; ++a) {
            owed += uint256(accounts[a].stake) + accounts[a].unbonding;
        }
        vm.assertEq(stakes.totalUnits(), owed, "I04: total = sum of stake and unbonding");
        owed += uint256(rewards) + sunk;
        uint256 expected = owed * UNIT + donatedWei[address(stakes)];
        vm.assertEq(
            token.balanceOf(address(stakes)), expected, "I02: stakes = stake + unbonding + rewards + sunk + donations"
        );
        vm.assertEq(stakes.held(), owed * UNIT, "I02: held = what is owed");
    }

    function I03_contestsHoldWhatTheyOwe() private view {
        uint256 owed = openContests.length * CONTEST_BOND * UNIT;
        uint256 expected = owed + donatedWei[address(contests)];
        vm.assertEq(token.balanceOf(address(contests)), expected, "I03: contests = open bonds + donations");
        vm.assertEq(contests.held(), owed, "I03: held = what is owed");
    }

    function I04_totalsAreSums() private view {
        Totals memory totals = escrow.totals();
        uint256 balances = 0;
        uint256 credits = 0;
        for (uint256 l = 0; l < LANES; ++l) {
            balances += lanes[l].balance;
        }
        for (uint256 a = 0; a < ACCOUNTS; ++a) {
            credits += accounts[a].earned - accounts[a].claimed;
        }
        vm.assertEq(totals.balancesUnits, balances, "I04: total = sum of balances");
        vm.assertEq(totals.creditsUnits, credits, "I04: total = sum of credits");
        vm.assertEq(totals.feesUnits, fees, "I04: fees");
        vm.assertEq(contests.openContests(), openContests.length, "I04: open contests");
        vm.assertEq(stakes.rewardsUnits(), owedToVerifiers(), "I04: rewards = what votes not settled are owed");
        vm.assertEq(stakes.rewardsUnits(), rewards, "I04: rewards = reserved - paid");
        vm.assertEq(stakes.sunkUnits(), sunk, "I04: sunk = slashed - refunded - reserved - swept");
    }

    function owedToVerifiers() private view returns (uint256 owed) {
        for (uint256 k = 0; k < unsettledCases.length; ++k) {
            CaseBook storage book = caseBooks[unsettledCases[k]];
            for (uint256 v = 0; v < VERIFIERS; ++v) {
                if (book.committed[v] != 0 && !book.settled[v]) owed += rewardOf(unsettledCases[k], v);
            }
        }
    }

    function I05_everyTokenIsWhereTheModelHasIt(address holder) private view {
        uint256 expected = purse[holder] * UNIT + donatedWei[holder];
        vm.assertEq(token.balanceOf(holder), expected, "I05: everybody has what its moves left it, to the wei");
    }

    function I06_noTokenIsOutsideTheModel() private view {
        uint256 sum = 0;
        for (uint256 i = 0; i < holders.length; ++i) {
            sum += token.balanceOf(holders[i]);
        }
        vm.assertEq(sum, token.totalSupply(), "I06: what the known holders have is all there is");
    }

    // ---------------------------------------------------------------- lanes, leaves

    function I07_laneMovesOnlyByItsOwnMoves(uint256 l) private view {
        LaneBook storage book = lanes[l];
        Lane memory kept = escrow.lanes(book.requester, book.signer);
        vm.assertEq(kept.balanceUnits, book.balance, "I07: balance = deposits - withdrawals - charges + refunds");
        vm.assertEq(kept.chargedUnits, book.charged, "I07: charged = the sum of its paid leaves");
        vm.assertEq(kept.capProvenUnits, book.capProven, "I07: the cap proven");
        vm.assertEq(kept.noticeAt, book.noticeAt, "I07: the notice");
        vm.assertEq(kept.expiry, book.expiry, "I07: the expiry");
        I08_laneIsChargedWithinASignedCap(book, kept);
    }

    function I08_laneIsChargedWithinASignedCap(LaneBook storage book, Lane memory kept) private view {
        vm.assertTrue(kept.chargedUnits <= kept.capProvenUnits, "I08: charged above the proven cap");
        vm.assertTrue(kept.capProvenUnits <= book.capSigned, "I08: a cap that nobody signed was proven");
    }

    function I09_leafIsPaidAtMostOnce(uint256 i) private view {
        vm.assertTrue(leafBooks[i].timesPaid <= 1, "I09: paid twice");
    }

    function I10_leafIsRefundedAtMostItsCharge(uint256 i) private view {
        LeafBook storage leaf = leafBooks[i];
        uint256 charged = leaf.timesPaid > 0 ? leaf.amount : 0;
        vm.assertLe(leaf.refunded, charged, "I10: refunded more than the charge, or without one");
        vm.assertEq(escrow.leaves(leaf.epochId, leaf.index).refundedUnits, leaf.refunded, "I10: what was refunded");
    }

    // ---------------------------------------------------------------- operators, the bond

    function I13_operatorIsOwedWhatItEarned(uint256 a) private view {
        Account storage account = accounts[a];
        OperatorCredit memory credit = escrow.operators(account.id);
        vm.assertEq(credit.earnedUnits, account.earned, "I13: earned = paid rows less the fee");
        vm.assertEq(credit.claimedUnits, account.claimed, "I13: claimed = what was drawn");
        vm.assertTrue(account.claimed <= account.earned, "I13: more drawn than earned");
    }

    function I14_chargesOfAWindowAreWithinTheBond() private {
        rollWindow();
        vm.assertLe(windowUnits, bond, "I14: what may still be refunded is covered by the bond");
        vm.assertLe(spentLately(), bond, "I14: what counts as charged is covered by the bond");
    }

    function I15_bondMovesOnlyByItsOwnMoves() private view {
        SettlerBond memory kept = escrow.settlerBond();
        vm.assertEq(kept.bondUnits, bond, "I15: bond = added - refunded - withdrawn");
        vm.assertEq(kept.unbondAt, unbondAt, "I15: its unbonding");
        vm.assertEq(kept.spentPreviousUnits, spentBefore, "I15: what counts of the bucket before");
        vm.assertEq(kept.spentCurrentUnits, spentNow, "I15: what counts of this bucket");
    }

    // ---------------------------------------------------------------- stake

    function I17_stakeMovesOnlyByItsOwnMoves(uint256 a) private view {
        Account storage account = accounts[a];
        IStakeManager.Operator memory kept = stakes.operators(account.id);
        vm.assertEq(kept.stakeUnits, account.stake, "I17: stake = in - slashed - unbonded");
        vm.assertEq(kept.unbondingUnits, account.unbonding, "I17: unbonding = unbonded + rewards - slashed - withdrawn");
        vm.assertEq(kept.lockedUnits, account.locked, "I17: locked = what cases locked and did not settle");
        vm.assertTrue(stakes.payoutOf(account.id) == payoutOf(account), "I17: the payout address");
    }

    /// @dev A verifier's. What cases ask for of an operator may exceed what is there; `withdrawFor` predicts what of it stays.
    function I18_lockedStakeIsThere(uint256 a) private view {
        Account storage account = accounts[a];
        vm.assertTrue(account.locked <= account.stake + account.unbonding, "I18: locked stake is gone");
    }

    // ---------------------------------------------------------------- arrows

    function I22_epochsGoAlongTheArrows(uint64 id) private {
        EpochBook storage book = epochBooks[id];
        EpochStatus now_ = escrow.epochStatus(id);
        vm.assertEq(uint256(now_), uint256(epochStatus(id)), "I22: the epoch's status");
        (EpochStatus before, bool same) = (book.seen, now_ == book.seen);
        bool revealed = before <= EpochStatus.POSTED && now_ == EpochStatus.REVEALED;
        bool posted = before == EpochStatus.OPEN && now_ == EpochStatus.POSTED;
        bool ended = before < EpochStatus.SETTLED && now_ >= EpochStatus.SETTLED;
        vm.assertTrue(same || posted || revealed || ended, "I22: no such arrow");
        book.seen = now_;
    }

    function I23_leavesGoAlongTheArrows(uint256 i) private {
        LeafBook storage book = leafBooks[i];
        (LeafStatus now_, uint40 chargedAt) = escrow.leafStatus(proofOf(i), outcomesOf(book.epochId));
        vm.assertEq(uint256(now_), uint256(leafStatus(book)), "I23: the leaf's status");
        bool charged = now_ == LeafStatus.PAID || now_ == LeafStatus.REFUNDED;
        vm.assertEq(chargedAt, charged ? book.chargedAt : 0, "I23: when it was charged");
        if (book.seen != 0 && book.seen != uint8(now_) + 1) {
            LeafStatus before = LeafStatus(book.seen - 1);
            bool paid = before == LeafStatus.UNCHARGED && now_ != LeafStatus.VOID;
            bool refunded = before == LeafStatus.PAID && now_ == LeafStatus.REFUNDED;
            vm.assertTrue(paid || refunded, "I23: no such arrow");
        }
        book.seen = uint8(now_) + 1;
    }

    function I24_contestsGoAlongTheArrows(uint256 i) private {
        ContestBook storage book = contestBooks[i];
        IContests.ContestStatus now_ = contests.contestStatus(leafBooks[i].epochId, leafBooks[i].index);
        vm.assertEq(uint256(now_), uint256(contestStatus(i)), "I24: the contest's status");
        IContests.ContestStatus before = book.seen;
        bool young = before <= IContests.ContestStatus.OPEN && now_ > before;
        bool late = before == IContests.ContestStatus.UNANSWERED && now_ != IContests.ContestStatus.OPEN
            && now_ != IContests.ContestStatus.ANSWERED;
        bool lapsed = before == IContests.ContestStatus.OVERDUE && now_ == IContests.ContestStatus.LAPSED;
        bool again = before == IContests.ContestStatus.LAPSED
            && (now_ == IContests.ContestStatus.OPEN || now_ == IContests.ContestStatus.ANSWERED);
        vm.assertTrue(now_ == before || young || late || lapsed || again, "I24: no such arrow");
        book.seen = now_;
    }

    function I26_casesGoAlongTheArrows(uint256 i) private {
        CaseBook storage book = caseBooks[i];
        ISlashingCourt.Case memory kept = court.cases(caseIdOf(i));
        vm.assertEq(kept.executed ? 1 : 0, book.executed ? 1 : 0, "I26: executed");
        vm.assertEq(kept.commitEnds, book.commitEnds, "I26: the end of the commits");
        vm.assertEq(kept.penaltyUnits, book.penalty, "I26: the penalty");
        vm.assertEq(kept.rewardUnits, book.share, "I26: each opener's reward");
        I26_votesGoAlongTheArrows(i, book);
        CaseStatus now_ = caseStatus(book);
        vm.assertTrue(now_ >= book.seen, "I26: no such arrow");
        book.seen = now_;
        I27_rulingsStand(i, book);
    }

    function I26_votesGoAlongTheArrows(uint256 i, CaseBook storage book) private view {
        for (uint256 v = 0; v < VERIFIERS; ++v) {
            ISlashingCourt.VoteState state = ISlashingCourt.VoteState.NONE;
            if (book.committed[v] != 0) state = ISlashingCourt.VoteState.COMMITTED;
            if (book.opened[v] != 0) state = ISlashingCourt.VoteState.OPENED;
            if (book.settled[v]) state = ISlashingCourt.VoteState.NONE;
            ISlashingCourt.VoteState kept = court.votes(caseIdOf(i), accounts[v + 2].id).state;
            vm.assertEq(uint256(kept), uint256(state), "I26: a vote is committed, opened, settled");
        }
    }

    function I27_rulingsStand(uint256 i, CaseBook storage book) private {
        ISlashingCourt.Ruling ruling = court.ruling(caseIdOf(i));
        vm.assertEq(uint256(ruling), uint256(rulingOf(i)), "I27: the ruling that SPEC derives");
        bool was = book.ruled != ISlashingCourt.Ruling.OPEN;
        vm.assertTrue(!was || ruling == book.ruled, "I27: a ruling changed");
        book.ruled = ruling;
    }
}
