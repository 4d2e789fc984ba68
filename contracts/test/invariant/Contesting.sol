// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IContests} from "src/interfaces/IContests.sol";
import {IJobEscrow} from "src/interfaces/IJobEscrow.sol";
import {Commitment, LeafProof, LeafStatus, Order, Outcomes} from "src/libraries/Types.sol";
import {vm} from "../utils/Vm.sol";
import {Rows} from "./Rows.sol";

/// @notice What those who doubt a charge do, and who answers them.
abstract contract Contesting is Rows {
    uint16 private constant UNANSWERABLE = INVENTED | OVERPRICED | LATE;

    // ---------------------------------------------------------------- contest, answer, resolve, lapse

    /// @notice Contests up to three charges, by the requester or by a stranger; where none is found, a leaf that may not be.
    function contest(uint256 seed) external turn {
        seed = mixed(seed);
        if (leafBooks.length == 0) return;
        contestOne(seed);
        contestOne(seed >> 8);
        contestOne(seed >> 16);
        contestOne(seed >> 24);
    }

    function contestOne(uint256 seed) private {
        uint256 i = pickContestable(seed);
        LeafBook storage leaf = leafBooks[i];
        bool stranger = (seed >> 128) % 2 == 0 || lanes[leaf.lane].requester.code.length > 0;
        address contester = stranger ? doubter : lanes[leaf.lane].requester;
        bytes4 refusal = firstOf(contestRefusal(i), tokenRefusal(contester, address(contests)));
        bytes memory data = abi.encodeCall(contests.contest, (proofOf(i), outcomesOf(leaf.epochId)));
        if (!attempt(contester, address(contests), data, refusal)) return;
        if (contestBooks[i].contestedAt != 0) hit("contest.afterALapse");
        contestBooks[i] = ContestBook(uint40(time()), contester, IContests.ContestStatus.NONE, contestBooks[i].seen);
        openContests.push(i);
        move(contester, address(contests), CONTEST_BOND);
        touch(i);
        hit("contest");
        if ((seed >> 144) % 3 == 0) answerAt(openContests.length - 1);
        if (paused) hit("contest.paused");
    }

    function pickContestable(uint256 seed) private view returns (uint256 i) {
        uint256 among = leafBooks.length < 96 ? leafBooks.length : 96;
        for (uint256 k = 0; k < 48; ++k) {
            i = leafBooks.length - 1 - (seed % among + k) % among;
            LeafBook storage leaf = leafBooks[i];
            bool contestable =
                isPaid(leaf) && leaf.kind & CHECK == 0 && isUncontested(i) && time() < leaf.chargedAt + CONTEST_WINDOW;
            if (contestable) return i;
        }
    }

    function contestRefusal(uint256 i) private returns (bytes4 refusal) {
        LeafBook storage leaf = leafBooks[i];
        refusal = chargeRefusal(leaf);
        if (refusal != 0) return refusal;
        if (time() >= leaf.chargedAt + CONTEST_WINDOW) {
            hit("contest.tooLate");
            return IContests.Contests_TooLate.selector;
        }
        if (isUncontested(i)) return 0;
        hit("contest.again");
        return IContests.Contests_AlreadyContested.selector;
    }

    /// @dev Never contested, or in vain: a lapse bars nobody.
    function isUncontested(uint256 i) private view returns (bool) {
        ContestBook storage book = contestBooks[i];
        return book.contestedAt == 0 || book.closedAs == IContests.ContestStatus.LAPSED;
    }

    function chargeRefusal(LeafBook storage leaf) private returns (bytes4) {
        if (!isFinal(leaf.epochId)) {
            hit("contest.notFinal");
            return IJobEscrow.JobEscrow_LeafNotFinal.selector;
        }
        if (leafStatus(leaf) != LeafStatus.PAID) {
            hit("contest.notCharged");
            return IContests.Contests_NotCharged.selector;
        }
        if (leaf.kind & CHECK == 0) return 0;
        hit("contest.treasuryLane");
        return IContests.Contests_TreasuryLane.selector;
    }

    /// @notice The node's owner answers, often at once; what cannot be shown is refused.
    function answer(uint256 seed) external turn {
        seed = mixed(seed);
        (bool found, uint256 slot) = pickContest(seed, IContests.ContestStatus.OPEN);
        if (found) answerAt(slot);
    }

    function answerAt(uint256 slot) private {
        uint256 i = openContests[slot];
        LeafBook storage leaf = leafBooks[i];
        address answerer = accounts[leaf.account].owner;
        bytes4 refusal = answerRefusal(i, leaf);
        if (refusal == 0) refusal = tokenRefusal(address(contests), answerer);
        if (!attempt(answerer, address(contests), answerData(i, leaf), refusal)) return;
        I25_onlyWhatWasOrderedAndDeliveredIsAnswered(leaf);
        close(slot, IContests.ContestStatus.ANSWERED, answerer);
        hit("answer");
        if (leaf.kind & RESTRICTED != 0 && leaf.kind & WITHHELD != 0) hit("answer.outputNotOwed");
        if (settlerIsDead) hit("answer.settlerIsDead");
    }

    function answerData(uint256 i, LeafBook storage leaf) private view returns (bytes memory) {
        Order memory ordered = orderOf(leaf);
        Commitment memory delivered = commitmentOf(leaf);
        uint256 signer = leaf.kind & INVENTED == 0 ? lanes[leaf.lane].key : thief;
        (bytes32 r, bytes32 vs) = signCompact(signer, delivered.orderId);
        bytes memory nodeSignature = signNode(leaf.account, leaf.digest);
        bytes memory output = leaf.kind & WITHHELD == 0 ? OUTPUT : bytes(hex"00000000"); // no lists at all
        return abi.encodeCall(contests.answer, (proofOf(i), ordered, r, vs, delivered, nodeSignature, output));
    }

    function answerRefusal(uint256 i, LeafBook storage leaf) private returns (bytes4) {
        if (contestStatus(i) != IContests.ContestStatus.OPEN) {
            hit("answer.tooLate");
            return IContests.Contests_WrongStatus.selector;
        }
        if (leaf.kind & INVENTED != 0) {
            hit("answer.invented");
            return IContests.Contests_NotSignedBySigner.selector;
        }
        if (leaf.kind & OVERPRICED != 0) {
            hit("answer.overpriced");
            return IContests.Contests_WrongAmount.selector;
        }
        if (leaf.kind & LATE != 0) {
            hit("answer.late");
            return IContests.Contests_PastDeadline.selector;
        }
        bool owed = leaf.kind & RESTRICTED == 0 || contestBooks[i].contester == lanes[leaf.lane].requester;
        if (leaf.kind & WITHHELD == 0 || !owed) return 0;
        hit("answer.withheld");
        return IContests.Contests_WrongOutput.selector;
    }

    function I25_onlyWhatWasOrderedAndDeliveredIsAnswered(LeafBook storage leaf) private view {
        vm.assertEq(leaf.kind & UNANSWERABLE, 0, "I25: an invented, overpriced or late charge was answered");
    }

    /// @notice Whoever likes has an unanswered charge refunded; three in four wait for it.
    function resolve(uint256 seed) external turn {
        seed = mixed(seed);
        (bool found, uint256 slot) = pickContest(seed, IContests.ContestStatus.UNANSWERED);
        if (!found) return;
        uint256 answerEnds = contestBooks[openContests[slot]].contestedAt + ANSWER_WINDOW;
        if (time() < answerEnds && (seed >> 128) % 4 != 0) vm.warp(answerEnds);
        resolveAt(slot);
        (found, slot) = pickContest(seed >> 64, IContests.ContestStatus.UNANSWERED);
        if (found && contestStatus(openContests[slot]) == IContests.ContestStatus.UNANSWERED) resolveAt(slot);
    }

    function resolveAt(uint256 slot) internal {
        uint256 i = openContests[slot];
        LeafBook storage leaf = leafBooks[i];
        bytes4 refusal = statusRefusal(i, IContests.ContestStatus.UNANSWERED);
        bytes memory data = abi.encodeCall(contests.resolve, (proofOf(i), outcomesOf(leaf.epochId)));
        if (!attempt(anyone, address(contests), data, refusal)) return;
        if (isPaid(leaf)) refundFromBond(i);
        else hit("resolve.refundedBefore");
        bool forgone = tokenRefusal(address(contests), contestBooks[i].contester) != 0;
        if (forgone) hit("resolve.contesterBlocked");
        close(slot, IContests.ContestStatus.REFUNDED, forgone ? address(contests) : contestBooks[i].contester);
        if (forgone) forgo();
        hit("resolve");
        if (settlerIsDead) hit("resolve.settlerIsDead");
        if (paused) hit("resolve.paused");
    }

    /// @dev The bond stays and belongs to nobody: a donation.
    function forgo() private {
        purse[address(contests)] -= CONTEST_BOND;
        donatedWei[address(contests)] += CONTEST_BOND * UNIT;
    }

    function refundFromBond(uint256 i) private {
        uint64 owed = leafBooks[i].amount - leafBooks[i].refunded;
        uint64 units = owed < bond ? owed : bond;
        vm.assertEq(units, owed, "I15: a contested charge is covered by the bond");
        giveBack(units);
        noteRefund(i, units);
    }

    /// @notice Ends a contest that nobody resolved in time.
    function lapse(uint256 seed) external turn {
        seed = mixed(seed);
        (bool found, uint256 slot) = pickContest(seed, IContests.ContestStatus.OVERDUE);
        if (!found) return;
        uint256 overdueAt = contestBooks[openContests[slot]].contestedAt + ANSWER_WINDOW + RESOLVE_WINDOW;
        if (time() < overdueAt && (seed >> 128) % 4 != 0) vm.warp(overdueAt);
        lapseAt(slot);
        (found, slot) = pickContest(seed >> 64, IContests.ContestStatus.OVERDUE);
        if (found && contestStatus(openContests[slot]) == IContests.ContestStatus.OVERDUE) lapseAt(slot);
    }

    function lapseAt(uint256 slot) internal {
        uint256 i = openContests[slot];
        LeafBook storage leaf = leafBooks[i];
        bytes4 refusal = statusRefusal(i, IContests.ContestStatus.OVERDUE);
        if (refusal == 0) refusal = tokenRefusal(address(contests), contestBooks[i].contester);
        bytes memory data = abi.encodeCall(contests.lapse, (leaf.epochId, uint32(leaf.index)));
        if (!attempt(anyone, address(contests), data, refusal)) return;
        close(slot, IContests.ContestStatus.LAPSED, contestBooks[i].contester);
        hit("lapse");
    }

    /// @dev A contest in this status, or any, if there is one at all.
    function pickContest(uint256 seed, IContests.ContestStatus status) private view returns (bool found, uint256 slot) {
        uint256 open = openContests.length;
        if (open == 0) return (false, 0);
        for (uint256 k = 0; k < open && k < 8; ++k) {
            slot = (seed % open + k) % open;
            if (contestStatus(openContests[slot]) == status) return (true, slot);
        }
        return (true, slot);
    }

    function statusRefusal(uint256 i, IContests.ContestStatus needed) private returns (bytes4) {
        if (contestStatus(i) == needed) return 0;
        hit(needed == IContests.ContestStatus.OVERDUE ? bytes32("lapse.notOverdue") : bytes32("resolve.outsideWindow"));
        return IContests.Contests_WrongStatus.selector;
    }

    function close(uint256 slot, IContests.ContestStatus closedAs, address bondTo) private {
        move(address(contests), bondTo, CONTEST_BOND);
        contestBooks[openContests[slot]].closedAs = closedAs;
        touch(openContests[slot]);
        openContests[slot] = openContests[openContests.length - 1];
        openContests.pop();
    }

    // ---------------------------------------------------------------- duplicates

    /// @notice Two charges of one order: the later comes back. Where no two are found, two that do not do.
    function refundDuplicate(uint256 seed) external turn {
        seed = mixed(seed);
        refundLater(seed);
        refundLater(seed >> 32);
        refundLater(seed >> 64);
        refundLater(seed >> 96);
        refundLater(seed >> 112);
    }

    function refundLater(uint256 seed) private {
        (bool found, uint256 i, uint256 j) = pickDuplicates(seed);
        if (!found) return;
        uint256[2] memory pair = (seed >> 128) % 16 == 0 ? [j, i] : [i, j];
        uint256 latest = leafBooks[j].chargedAt >= leafBooks[i].chargedAt ? j : i;
        bytes4 refusal = duplicateRefusal(pair, leafBooks[latest].chargedAt + CONTEST_WINDOW);
        if (!attempt(anyone, address(contests), duplicateData(pair), refusal)) return;
        refundFromBond(latest);
        hit("refundDuplicate");
        if (latest == i) hit("duplicate.earlierLeafPaidLater");
        if (contestBooks[latest].contestedAt != 0) hit("duplicate.underContest");
    }

    function duplicateRefusal(uint256[2] memory pair, uint256 endsAt) private returns (bytes4 refusal) {
        refusal = chargeRefusal(leafBooks[pair[0]]);
        if (refusal != 0) return refusal;
        if (pair[0] > pair[1]) {
            hit("duplicate.notAscending");
            return IContests.Contests_NotAscending.selector;
        }
        refusal = chargeRefusal(leafBooks[pair[1]]);
        if (refusal != 0 || time() < endsAt) return refusal;
        hit("duplicate.tooLate");
        return IContests.Contests_TooLate.selector;
    }

    /// @dev Two rows of a requester's repeated order, charged if such are found; `i` before `j`.
    function pickDuplicates(uint256 seed) private view returns (bool found, uint256 i, uint256 j) {
        uint256 known = repeated.length;
        for (uint256 k = 0; k < 40 && k < known; ++k) {
            uint256 b = repeated[known - 1 - k];
            if (!isPaid(leafBooks[b]) && (seed >> k) % 64 != 0) continue;
            for (uint256 m = k + 1; m < k + 40 && m < known; ++m) {
                uint256 a = repeated[known - 1 - m];
                if (!sameOrder(leafBooks[a], leafBooks[b])) continue;
                (found, i, j) = (true, a, b);
                if (isPaid(leafBooks[a])) return (found, i, j);
            }
        }
    }

    function sameOrder(LeafBook storage a, LeafBook storage b) private view returns (bool) {
        uint16 ordered = RESTRICTED | NATIVE | HUGE;
        return lanes[a.lane].requester == lanes[b.lane].requester && (a.kind ^ b.kind) & ordered == 0;
    }

    function duplicateData(uint256[2] memory pair) private view returns (bytes memory) {
        LeafProof[] memory proofs = new LeafProof[](2);
        Outcomes[] memory outcomes = new Outcomes[](2);
        Commitment[] memory delivered = new Commitment[](2);
        for (uint256 k = 0; k < 2; ++k) {
            proofs[k] = proofOf(pair[k]);
            outcomes[k] = outcomesOf(leafBooks[pair[k]].epochId);
            delivered[k] = commitmentOf(leafBooks[pair[k]]);
        }
        Order memory ordered = orderOf(leafBooks[pair[0]]);
        return abi.encodeCall(contests.contestDuplicate, (ordered, proofs, outcomes, delivered));
    }
}
