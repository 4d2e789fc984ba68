// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IJobEscrow} from "src/interfaces/IJobEscrow.sol";
import {ISlashingCourt} from "src/interfaces/ISlashingCourt.sol";
import {IStakeManager} from "src/interfaces/IStakeManager.sol";
import {LeafProof, LeafStatus} from "src/libraries/Types.sol";
import {vm} from "../utils/Vm.sol";
import {Rows} from "./Rows.sol";

/// @notice What comes of rulings: anyone has them executed, and votes settled, whichever they name how often.
abstract contract Executing is Rows {
    // ---------------------------------------------------------------- execute

    /// @notice Anyone has a ruling executed; half wait for it. Of the votes, some or all are settled with it, or none.
    function execute(uint256 seed) external turn {
        seed = mixed(seed);
        if (openCases.length == 0) return;
        uint256 i = pickCase(seed, CaseStatus.RULED);
        uint256 ruledAt = caseBooks[i].commitEnds + REVEAL_WINDOW;
        if (time() < ruledAt && (seed >> 128) % 4 == 0) vm.warp(ruledAt);
        if ((seed >> 144) % 4 == 0) retryExecuted(seed >> 160);
        executeCase(i, idsFor(seed >> 192));
    }

    function executeCase(uint256 i, uint32[] memory ids) internal returns (bool done) {
        LeafBook storage leaf = leafBooks[i];
        uint256 before = stakeOf(leaf.account);
        bytes memory data = abi.encodeCall(court.execute, (leafOf(i), outcomesOf(leaf.epochId), ids));
        if (!attempt(anyone, address(court), data, executeRefusal(i))) return false;
        noteExecuted(i, rulingOf(i));
        I19_slashIsWithinItsBound(i, before);
        caseBooks[i].executed = true;
        drop(openCases, i);
        unsettledCases.push(i);
        noteSettledVotes(i, ids);
        touch(i);
        hit("execute");
        if (ids.length == 0) hit("execute.settlesNobody");
        if (settlerIsDead) hit("execute.settlerIsDead");
        if (paused) hit("execute.paused");
        return true;
    }

    /// @dev Once a case, all that is there up to k * maxPrice; nothing unless it was found guilty.
    function I19_slashIsWithinItsBound(uint256 i, uint256 before) private view {
        CaseBook storage book = caseBooks[i];
        uint256 slashed = before - stakeOf(leafBooks[i].account);
        vm.assertTrue(!book.executed, "I19: slashed twice");
        bool guilty = rulingOf(i) == ISlashingCourt.Ruling.NODE_GUILTY;
        uint256 expected = !guilty ? 0 : book.penalty < before ? book.penalty : before;
        vm.assertEq(slashed, expected, "I19: slashed what is there, up to k * maxPrice, of the guilty");
    }

    function stakeOf(uint256 a) private view returns (uint256) {
        IStakeManager.Operator memory kept = stakes.operators(accounts[a].id);
        return uint256(kept.stakeUnits) + kept.unbondingUnits;
    }

    function retryExecuted(uint256 seed) private {
        uint256 i = seed % leafBooks.length;
        if (!caseBooks[i].executed) return;
        hit("execute.again");
        bytes memory data =
            abi.encodeCall(court.execute, (leafOf(i), outcomesOf(leafBooks[i].epochId), idsFor(seed >> 32)));
        attempt(anyone, address(court), data, ISlashingCourt.SlashingCourt_AlreadyExecuted.selector);
    }

    function executeRefusal(uint256 i) private returns (bytes4) {
        if (caseStatus(caseBooks[i]) != CaseStatus.RULED) {
            hit("execute.stillOpen");
            return ISlashingCourt.SlashingCourt_StillOpen.selector;
        }
        bool guilty = rulingOf(i) == ISlashingCourt.Ruling.NODE_GUILTY;
        if (!guilty || isFinal(leafBooks[i].epochId)) return 0;
        hit("execute.leafNotFinal");
        return IJobEscrow.JobEscrow_LeafNotFinal.selector;
    }

    function noteExecuted(uint256 i, ISlashingCourt.Ruling ruling) private {
        CaseBook storage book = caseBooks[i];
        LeafBook storage leaf = leafBooks[i];
        I21_nobodyHonestIsSlashed(book, leaf, ruling);
        Account storage accused = accounts[leaf.account];
        accused.locked -= book.penalty;
        if (ruling == ISlashingCourt.Ruling.DISMISSED) hit("ruling.dismissed");
        if (ruling == ISlashingCourt.Ruling.NODE_UPHELD) hit("ruling.nodeUpheld");
        if (ruling == ISlashingCourt.Ruling.NODE_GUILTY) noteGuilty(i, book, leaf, accused);
    }

    function noteGuilty(uint256 i, CaseBook storage book, LeafBook storage leaf, Account storage accused) private {
        bool majority = 2 * uint256(book.weight[book.leading]) > book.total;
        hit(majority ? bytes32("ruling.guiltyByMajority") : bytes32("ruling.guiltyByTwo"));
        uint64 slashed = thereOf(accused, book.penalty);
        uint64 left = slashed;
        if (slashed < book.penalty) hit("guilty.lessWasThere");
        LeafStatus status = leafStatus(leaf);
        if (status == LeafStatus.UNCHARGED) leaf.closed = true;
        if (status == LeafStatus.UNCHARGED) hit("guilty.leafClosed");
        if (status == LeafStatus.VOID) hit("guilty.leafVoid");
        if (status == LeafStatus.REFUNDED) hit("guilty.refundedBefore");
        if (status == LeafStatus.PAID && left > 0) {
            uint64 owed = leaf.amount - leaf.refunded;
            uint64 refund = owed < left ? owed : left;
            left -= refund;
            noteRefund(i, refund);
            move(address(stakes), address(escrow), refund);
            hit(refund == owed ? bytes32("guilty.refunded") : bytes32("guilty.refundedInPart"));
        }
        takeStake(accused, slashed);
        uint64 openers = book.openers[book.leading];
        book.share = left / openers < CASE_REWARD ? left / openers : CASE_REWARD;
        rewards += book.share * openers;
        sunk += left - book.share * openers;
        hit(book.share == CASE_REWARD ? bytes32("guilty.rewarded") : bytes32("guilty.rewardedLess"));
    }

    /// @dev While the honest hold half of the active stake and only one verifier lies.
    function I21_nobodyHonestIsSlashed(CaseBook storage book, LeafBook storage leaf, ISlashingCourt.Ruling ruling)
        private
    {
        if (2 * uint256(book.active[LIAR]) > book.total) {
            hit("case.liarHasTheMajority");
            return;
        }
        bool honestNode = leaf.kind & WRONG == 0;
        bool guilty = ruling == ISlashingCourt.Ruling.NODE_GUILTY;
        vm.assertTrue(!guilty || !honestNode, "I21: an honest node was found guilty");
        bool nodesAnswerUpheld = ruling == ISlashingCourt.Ruling.NODE_UPHELD;
        vm.assertTrue(!nodesAnswerUpheld || honestNode, "I21: a lie was upheld against those who told the truth");
    }

    // ---------------------------------------------------------------- votes

    /// @notice Anyone has votes of an executed case settled; one in eight tries a case that is not executed.
    function settleVotes(uint256 seed) external turn {
        seed = mixed(seed);
        if (seed % 8 == 0 && openCases.length > 0) return refuseToSettle(openCases[(seed >> 8) % openCases.length]);
        if (unsettledCases.length == 0) return;
        settleVotesOf(unsettledCases[(seed >> 8) % unsettledCases.length], idsFor(seed >> 64));
        hit("settleVotes");
        if (paused) hit("settleVotes.paused");
    }

    function settleVotesOf(uint256 i, uint32[] memory ids) internal {
        attempt(anyone, address(court), abi.encodeCall(court.settleVotes, (caseIdOf(i), ids)), 0);
        noteSettledVotes(i, ids);
        touch(i);
    }

    function refuseToSettle(uint256 i) private {
        hit("settleVotes.stillOpen");
        bytes memory data = abi.encodeCall(court.settleVotes, (caseIdOf(i), idsFor(1)));
        attempt(anyone, address(court), data, ISlashingCourt.SlashingCourt_StillOpen.selector);
    }

    /// @dev All verifiers, or none, or some and others, some of them twice.
    function idsFor(uint256 seed) internal view returns (uint32[] memory ids) {
        if (seed % 8 == 0) return everyVerifier();
        ids = new uint32[]((seed >> 3) % 6);
        for (uint256 k = 0; k < ids.length; ++k) {
            uint256 who = (seed >> 8 + 8 * k) % 8;
            ids[k] = who < VERIFIERS ? accounts[who + 2].id : who < 6 ? accounts[who - VERIFIERS].id : who == 6 ? 0 : 99;
        }
    }

    function everyVerifier() internal view returns (uint32[] memory ids) {
        ids = new uint32[](VERIFIERS);
        for (uint256 v = 0; v < VERIFIERS; ++v) {
            ids[v] = accounts[v + 2].id;
        }
    }

    function noteSettledVotes(uint256 i, uint32[] memory ids) private {
        CaseBook storage book = caseBooks[i];
        for (uint256 k = 0; k < ids.length; ++k) {
            uint256 v = 0;
            while (v < VERIFIERS && accounts[v + 2].id != ids[k]) ++v;
            if (v == VERIFIERS || book.committed[v] == 0) hit("settleVotes.didNotVote");
            else if (book.settled[v]) hit("settleVotes.again");
            else noteSettledVote(i, book, v);
        }
        for (uint256 v = 0; v < VERIFIERS; ++v) {
            if (book.committed[v] != 0 && !book.settled[v]) return;
        }
        drop(unsettledCases, i);
    }

    function noteSettledVote(uint256 i, CaseBook storage book, uint256 v) private {
        Account storage account = accounts[v + 2];
        uint64 penalty = 0;
        bool silent = book.opened[v] == 0;
        if (rulingOf(i) != ISlashingCourt.Ruling.DISMISSED && book.opened[v] != book.leading + 1) {
            penalty = book.exposure;
            hit(silent ? bytes32("slash.silentAsALiar") : bytes32("slash.liar"));
        } else if (silent) {
            penalty = CASE_REWARD;
            hit("slash.silent");
        }
        account.locked -= book.exposure;
        takeStake(account, penalty);
        sunk += penalty;
        uint64 reward = rewardOf(i, v);
        rewards -= reward;
        account.unbonding += reward;
        book.settled[v] = true;
    }

    // ---------------------------------------------------------------- what was sunk

    /// @notice Anyone has the sink paid; with nothing to pay, in vain and without harm.
    function sweep(uint256) external turn {
        sweepUp();
    }

    function sweepUp() internal {
        attempt(anyone, address(stakes), abi.encodeCall(stakes.sweep, ()), 0);
        hit(sunk == 0 ? bytes32("sweep.nothing") : bytes32("sweep"));
        move(address(stakes), sink, sunk);
        sunk = 0;
    }

    // ---------------------------------------------------------------- helpers

    /// @dev A case in this status, or any.
    function pickCase(uint256 seed, CaseStatus status) internal view returns (uint256 i) {
        uint256 open = openCases.length;
        for (uint256 k = 0; k < open && k < 6; ++k) {
            i = openCases[(seed % open + k) % open];
            if (caseStatus(caseBooks[i]) == status) return i;
        }
    }

    /// @dev What the leaf says, without its proof.
    function leafOf(uint256 i) internal view returns (LeafProof memory leaf) {
        leaf = proofOf(i);
        leaf.siblings = new bytes32[](0);
    }

    function drop(uint256[] storage list, uint256 i) private {
        for (uint256 k = 0; k < list.length; ++k) {
            if (list[k] != i) continue;
            list[k] = list[list.length - 1];
            list.pop();
            return;
        }
    }
}
