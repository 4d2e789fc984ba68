// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IJobEscrow} from "src/interfaces/IJobEscrow.sol";
import {ISlashingCourt} from "src/interfaces/ISlashingCourt.sol";
import {IStakeManager} from "src/interfaces/IStakeManager.sol";
import {TypedData} from "src/libraries/TypedData.sol";
import {Commitment, LeafStatus, Order} from "src/libraries/Types.sol";
import {vm} from "../utils/Vm.sol";
import {Rows} from "./Rows.sol";

/// @notice What verifiers do, two honest, one lying, one mostly silent; what the accused do; and who shows two answers.
abstract contract Judging is Rows {
    uint64 private constant PENALTY_MULTIPLE = 3;

    // ---------------------------------------------------------------- opening, answering

    /// @notice Opens a case; in half of them the others answer, appeal and open their answers at once.
    function openCase(uint256 seed) external turn {
        seed = mixed(seed);
        if (leafBooks.length == 0) return;
        uint256 i = pickAccusable(seed);
        LeafBook storage leaf = leafBooks[i];
        if (leaf.kind & CHECK != 0) return;
        uint256 v = (seed >> 128) % VERIFIERS;
        if (!accounts[v + 2].admitted && (seed >> 120) % 8 != 0) v = 0;
        uint8 said = answerBy(v);
        bytes4 refusal = openRefusal(i, leaf, v);
        bytes memory data = abi.encodeCall(
            court.openCase,
            (proofOf(i), orderOf(leaf), commitmentOf(leaf), signNode(leaf.account, leaf.digest), hidden(leaf, v, said))
        );
        if (!attempt(verifierKeys[v], address(court), data, refusal)) return;
        noteOpened(i, leaf);
        noteCommitted(caseBooks[i], v, said);
        hit("openCase");
        for (uint256 k = 1; k < VERIFIERS; ++k) {
            if ((seed >> 136 + k) & 1 == 1) commitIn(i, (v + k) % VERIFIERS);
        }
        if ((seed >> 144) % 4 != 0) appealIn(i, (seed >> 152) % 4);
        if ((seed >> 168) % 2 == 0) return;
        vm.warp(caseBooks[i].commitEnds);
        for (uint256 k = 0; k < VERIFIERS; ++k) {
            if (caseBooks[i].committed[k] != 0 && (seed >> 176 + k) & 1 == 1) openAnswer(i, k);
        }
        if (!isFinal(leaf.epochId)) hit("case.beforeSettlement");
        if (settlerIsDead) hit("case.settlerIsDead");
    }

    function pickAccusable(uint256 seed) private view returns (uint256 i) {
        uint256 among = leafBooks.length < 32 ? leafBooks.length : 32;
        for (uint256 k = 0; k < 16; ++k) {
            i = leafBooks.length - 1 - (seed % among + k) % among;
            bool wrong = leafBooks[i].kind & WRONG != 0 || (seed >> 8) % 2 == 0;
            uint16 unsuited = seed % 16 == 0 ? CHECK : CHECK | NATIVE;
            if ((seed >> 16) % 2 == 0 && !isPaid(leafBooks[i])) continue;
            if (wrong && leafBooks[i].kind & unsuited == 0 && caseBooks[i].commitEnds == 0) return i;
        }
    }

    function openRefusal(uint256 i, LeafBook storage leaf, uint256 v) private returns (bytes4) {
        if (caseBooks[i].commitEnds != 0) {
            hit("case.exists");
            return ISlashingCourt.SlashingCourt_CaseExists.selector;
        }
        if (time() > epochBooks[leaf.epochId].postedAt + CASE_WINDOW) {
            hit("case.windowClosed");
            return ISlashingCourt.SlashingCourt_CaseWindowClosed.selector;
        }
        if (leaf.kind & NATIVE != 0) {
            hit("case.notExact");
            return ISlashingCourt.SlashingCourt_NotExact.selector;
        }
        return commitRefusal(activeStake(v), v);
    }

    function commitRefusal(uint64 active, uint256 v) private returns (bytes4) {
        if (active == 0) {
            hit("verdict.notActive");
            return ISlashingCourt.SlashingCourt_NotActiveVerifier.selector;
        }
        Account storage account = accounts[v + 2];
        if (account.stake + account.unbonding > account.locked) return 0;
        hit("verdict.nothingToLose");
        return ISlashingCourt.SlashingCourt_NothingToLose.selector;
    }

    function exposureOf(LeafBook storage leaf) private view returns (uint64) {
        return PENALTY_MULTIPLE * (leaf.kind & HUGE == 0 ? MAX_PRICE : 1e12);
    }

    function noteOpened(uint256 i, LeafBook storage leaf) private {
        CaseBook storage book = caseBooks[i];
        book.commitEnds = uint40(time() + COMMIT_WINDOW);
        book.bound = exposureOf(leaf);
        book.exposure = book.bound;
        for (uint256 v = 0; v < VERIFIERS; ++v) {
            book.active[v] = activeStake(v);
            book.total += book.active[v];
        }
        book.penalty = lockStake(accounts[leaf.account], book.bound);
        if (book.penalty < book.bound) hit("case.lockedWhatWasFree");
        openCases.push(i);
        touch(i);
    }

    function noteCommitted(CaseBook storage book, uint256 v, uint8 said) private {
        book.committed[v] = said + 1;
        book.locked[v] = lockStake(accounts[v + 2], book.exposure);
        book.keyAt[v] = accounts[v + 2].keys;
    }

    /// @dev The liar lies, always; the others tell the truth if they say anything.
    function answerBy(uint256 v) private pure returns (uint8) {
        return v == LIAR ? LIE : TRUTH;
    }

    function hidden(LeafBook storage leaf, uint256 v, uint8 said) private view returns (bytes32) {
        return TypedData.answerCommit(traceOf(leaf, said), keccak256(OUTPUT), 40, leaf.digest, verifierKeys[v]);
    }

    /// @notice One of the verifiers answers in an open case, hidden; half of them do as soon as it is opened.
    function commitVerdict(uint256 seed) external turn {
        seed = mixed(seed);
        if (openCases.length == 0) return;
        uint256 i = pickCase(seed, CaseStatus.COMMITTING);
        CaseBook storage book = caseBooks[i];
        uint256 v = (seed >> 128) % VERIFIERS;
        for (uint256 k = 0; k < 3 && book.committed[v] != 0; ++k) {
            v = (v + 1) % VERIFIERS;
        }
        commitIn(i, v);
    }

    function commitIn(uint256 i, uint256 v) private {
        CaseBook storage book = caseBooks[i];
        bytes32 answerCommit = hidden(leafBooks[i], v, answerBy(v));
        bytes memory data = abi.encodeCall(court.commitVerdict, (caseIdOf(i), answerCommit));
        if (!attempt(verifierKeys[v], address(court), data, verdictRefusal(book, v))) return;
        noteCommitted(book, v, answerBy(v));
        hit("commitVerdict");
        if (v == LIAR) hit("verdict.byTheLiar");
        if (book.locked[v] < book.exposure) hit("verdict.lockedWhatWasFree");
    }

    function verdictRefusal(CaseBook storage book, uint256 v) private returns (bytes4) {
        if (caseStatus(book) != CaseStatus.COMMITTING) {
            hit("verdict.tooLate");
            return ISlashingCourt.SlashingCourt_OutsideWindow.selector;
        }
        if (book.active[v] != 0 && book.committed[v] != 0) {
            hit("verdict.again");
            return ISlashingCourt.SlashingCourt_AlreadyCommitted.selector;
        }
        return commitRefusal(book.active[v], v);
    }

    /// @notice One to four verifiers open their answers; the silent one rarely does.
    function reveal(uint256 seed) external turn {
        seed = mixed(seed);
        if (openCases.length == 0) return;
        uint256 i = pickCase(seed, CaseStatus.REVEALING);
        if (caseStatus(caseBooks[i]) != CaseStatus.REVEALING) i = pickCase(seed, CaseStatus.COMMITTING);
        CaseBook storage book = caseBooks[i];
        if (caseStatus(book) == CaseStatus.COMMITTING && (seed >> 128) % 2 == 0) vm.warp(book.commitEnds);
        uint256 v = (seed >> 144) % VERIFIERS;
        for (uint256 k = 0; k < 3 && (book.committed[v] == 0 || book.opened[v] != 0); ++k) {
            v = (v + 1) % VERIFIERS;
        }
        for (uint256 k = 0; k < 1 + (seed >> 160) % 4; ++k) {
            bool silent = (v + k) % VERIFIERS == VERIFIERS - 1 && (seed >> 168) % 3 != 0;
            if (!silent) openAnswer(i, (v + k) % VERIFIERS);
        }
    }

    function openAnswer(uint256 i, uint256 v) private {
        CaseBook storage book = caseBooks[i];
        uint8 said = answerBy(v);
        bytes memory data = abi.encodeCall(
            court.reveal, (caseIdOf(i), commitmentOf(leafBooks[i]), traceOf(leafBooks[i], said), keccak256(OUTPUT), 40)
        );
        if (!attempt(verifierKeys[v], address(court), data, revealRefusal(book, v))) return;
        noteRevealed(book, v, said);
        hit("reveal");
    }

    function revealRefusal(CaseBook storage book, uint256 v) private returns (bytes4) {
        if (caseStatus(book) != CaseStatus.REVEALING) {
            hit("reveal.outsideWindow");
            return ISlashingCourt.SlashingCourt_OutsideWindow.selector;
        }
        bool sameKey = book.keyAt[v] == accounts[v + 2].keys;
        if (book.committed[v] != 0 && book.opened[v] == 0 && sameKey) return 0;
        hit("reveal.notCommitted");
        return ISlashingCourt.SlashingCourt_NotCommitted.selector;
    }

    function noteRevealed(CaseBook storage book, uint256 v, uint8 said) private {
        book.opened[v] = said + 1;
        ++book.openers[said];
        book.weight[said] += book.active[v];
        if (book.weight[said] > book.weight[1 - said]) book.leading = said;
    }

    /// @notice The accused asks for a majority: the node's key, its owner, or a stranger in vain.
    function appeal(uint256 seed) external turn {
        seed = mixed(seed);
        if (openCases.length == 0) return;
        uint256 i = pickCase(seed, CaseStatus.COMMITTING);
        appealIn(i, (seed >> 128) % 4);
    }

    function appealIn(uint256 i, uint256 who) private {
        CaseBook storage book = caseBooks[i];
        uint256 account = leafBooks[i].account;
        address owner = accounts[account].owner;
        address[4] memory callers = [nodes[account], nodes[account], owner, anyone];
        bytes4 refusal = appealRefusal(book, who == 3);
        if (!attempt(callers[who], address(court), abi.encodeCall(court.appeal, (caseIdOf(i))), refusal)) return;
        book.appealed = true;
        book.commitEnds = uint40(time() + COMMIT_WINDOW);
        hit("appeal");
        if (paused) hit("appeal.paused");
    }

    function appealRefusal(CaseBook storage book, bool stranger) private returns (bytes4) {
        if (book.appealed) {
            hit("appeal.again");
            return ISlashingCourt.SlashingCourt_AlreadyAppealed.selector;
        }
        if (caseStatus(book) != CaseStatus.COMMITTING) {
            hit("appeal.tooLate");
            return ISlashingCourt.SlashingCourt_OutsideWindow.selector;
        }
        if (!stranger) return 0;
        hit("appeal.byAStranger");
        return ISlashingCourt.SlashingCourt_NotTheAccused.selector;
    }

    // ---------------------------------------------------------------- rulings

    /// @notice Anyone has a ruling executed; half wait for it.
    function execute(uint256 seed) external turn {
        seed = mixed(seed);
        if (openCases.length == 0) return;
        uint256 i = pickCase(seed, CaseStatus.RULED);
        uint256 ruledAt = caseBooks[i].commitEnds + REVEAL_WINDOW;
        if (time() < ruledAt && (seed >> 128) % 4 == 0) vm.warp(ruledAt);
        if ((seed >> 144) % 4 == 0) retryExecuted(seed >> 160);
        executeCase(i);
    }

    function executeCase(uint256 i) internal returns (bool done) {
        LeafBook storage leaf = leafBooks[i];
        uint256 before = stakeOf(leaf.account);
        bytes memory data = abi.encodeCall(court.execute, (caseIdOf(i), proofOf(i), outcomesOf(leaf.epochId)));
        if (!attempt(anyone, address(court), data, executeRefusal(i))) return false;
        noteExecuted(i, rulingOf(i));
        I19_slashIsWithinItsBound(i, before);
        caseBooks[i].executed = true;
        for (uint256 k = 0; k < openCases.length; ++k) {
            if (openCases[k] != i) continue;
            openCases[k] = openCases[openCases.length - 1];
            openCases.pop();
            break;
        }
        touch(i);
        hit("execute");
        if (settlerIsDead) hit("execute.settlerIsDead");
        if (paused) hit("execute.paused");
        return true;
    }

    /// @dev Once a case, what was locked for it and no more than k * maxPrice; nothing unless it was found guilty.
    function I19_slashIsWithinItsBound(uint256 i, uint256 before) private view {
        CaseBook storage book = caseBooks[i];
        uint256 slashed = before - stakeOf(leafBooks[i].account);
        vm.assertTrue(!book.executed, "I19: slashed twice");
        vm.assertTrue(slashed <= book.penalty && book.penalty <= book.bound, "I19: slashed above the bound");
        bool guilty = rulingOf(i) == ISlashingCourt.Ruling.NODE_GUILTY;
        vm.assertTrue(guilty || slashed == 0, "I19: slashed without a ruling");
    }

    function stakeOf(uint256 a) private view returns (uint256) {
        IStakeManager.Operator memory kept = stakes.operators(accounts[a].id);
        return uint256(kept.stakeUnits) + kept.unbondingUnits;
    }

    function retryExecuted(uint256 seed) private {
        uint256 i = seed % leafBooks.length;
        if (!caseBooks[i].executed) return;
        hit("execute.again");
        bytes memory data = abi.encodeCall(court.execute, (caseIdOf(i), proofOf(i), outcomesOf(leafBooks[i].epochId)));
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
        bool upheld = ruling != ISlashingCourt.Ruling.DISMISSED;
        for (uint256 v = 0; v < VERIFIERS; ++v) {
            if (book.committed[v] != 0) noteVerifier(book, v, upheld);
        }
        Account storage accused = accounts[leaf.account];
        accused.locked -= book.penalty;
        if (ruling == ISlashingCourt.Ruling.DISMISSED) hit("ruling.dismissed");
        if (ruling == ISlashingCourt.Ruling.NODE_UPHELD) hit("ruling.nodeUpheld");
        if (ruling == ISlashingCourt.Ruling.NODE_GUILTY) noteGuilty(i, book, leaf, accused);
    }

    function noteVerifier(CaseBook storage book, uint256 v, bool upheld) private {
        Account storage account = accounts[v + 2];
        uint64 locked = book.locked[v];
        uint64 penalty = 0;
        if (book.opened[v] == 0) {
            penalty = CASE_REWARD < locked ? CASE_REWARD : locked;
            hit("slash.silent");
        } else if (upheld && book.opened[v] != book.leading + 1) {
            penalty = locked;
            hit("slash.liar");
        }
        account.locked -= locked;
        takeStake(account, penalty);
        move(address(stakes), sink, penalty);
    }

    function noteGuilty(uint256 i, CaseBook storage book, LeafBook storage leaf, Account storage accused) private {
        bool majority = 2 * uint256(book.weight[book.leading]) > book.total;
        hit(majority ? bytes32("ruling.guiltyByMajority") : bytes32("ruling.guiltyByTwo"));
        uint64 left = book.penalty;
        LeafStatus status = leafStatus(leaf);
        if (status == LeafStatus.UNCHARGED) leaf.closed = true;
        if (status == LeafStatus.UNCHARGED) hit("guilty.leafClosed");
        if (status == LeafStatus.VOID) hit("guilty.leafVoid");
        if (status == LeafStatus.REFUNDED) hit("guilty.refundedBefore");
        if (status == LeafStatus.PAID && left > 0) {
            uint64 refund = leaf.amount < left ? leaf.amount : left;
            left -= refund;
            noteRefund(i, refund);
            move(address(stakes), address(escrow), refund);
            hit(refund == leaf.amount ? bytes32("guilty.refunded") : bytes32("guilty.refundedInPart"));
        }
        takeStake(accused, book.penalty);
        for (uint256 v = 0; v < VERIFIERS; ++v) {
            if (book.opened[v] != book.leading + 1) continue;
            uint64 reward = CASE_REWARD < left ? CASE_REWARD : left;
            left -= reward;
            accounts[v + 2].stake += reward;
        }
        move(address(stakes), sink, left);
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

    /// @dev A case in this status, or any.
    function pickCase(uint256 seed, CaseStatus status) private view returns (uint256 i) {
        uint256 open = openCases.length;
        for (uint256 k = 0; k < open && k < 6; ++k) {
            i = openCases[(seed % open + k) % open];
            if (caseStatus(caseBooks[i]) == status) return i;
        }
    }

    // ---------------------------------------------------------------- two answers to one order

    /// @notice The lying node signed two answers to one order; whoever shows them is rewarded, once.
    function equivocation(uint256 seed) external turn {
        seed = mixed(seed);
        uint64 salt = (seed % 4 == 0 && turns > 8) ? uint64(seed % 8) : uint64(1000 + turns);
        uint256 rewarded = (seed >> 8) % 8;
        uint32 rewardedId = rewarded == 0 ? accounts[1].id : rewarded < 4 ? 0 : accounts[rewarded - 2].id;
        (bytes memory data, bytes32 orderId) = twoAnswers(salt, rewardedId);
        bytes4 refusal = equivocationRefusal(orderId, rewarded == 0);
        if (!attempt(anyone, address(court), data, refusal)) return;
        equivocations[orderId] = true;
        uint64 slashed = lockStake(accounts[1], PENALTY_MULTIPLE * MAX_PRICE);
        accounts[1].locked -= slashed;
        takeStake(accounts[1], slashed);
        uint64 reward = rewardedId == 0 ? 0 : CASE_REWARD < slashed ? CASE_REWARD : slashed;
        if (rewardedId != 0) accounts[rewarded - 2].stake += reward;
        move(address(stakes), sink, slashed - reward);
        hit("equivocation");
        hit(rewardedId == 0 ? bytes32("equivocation.unrewarded") : bytes32("equivocation.rewarded"));
    }

    function equivocationRefusal(bytes32 orderId, bool toItself) private returns (bytes4) {
        if (equivocations[orderId]) {
            hit("equivocation.again");
            return ISlashingCourt.SlashingCourt_AlreadySlashed.selector;
        }
        if (toItself) {
            hit("equivocation.toItself");
            return ISlashingCourt.SlashingCourt_NotRewardable.selector;
        }
        if (accounts[1].stake + accounts[1].unbonding > accounts[1].locked) return 0;
        hit("equivocation.nothingToSlash");
        return ISlashingCourt.SlashingCourt_NothingToSlash.selector;
    }

    function twoAnswers(uint64 salt, uint32 rewardedId) private view returns (bytes memory data, bytes32 orderId) {
        Order memory ordered;
        (ordered.requester, ordered.terms.maxPrice, ordered.terms.salt) = (lanes[0].requester, MAX_PRICE, salt);
        orderId = escrow.hashOrder(ordered);
        Commitment memory one = Commitment(orderId, nodes[1], keccak256("one"), 0, 1);
        Commitment memory two = Commitment(orderId, nodes[1], keccak256("two"), 0, 1);
        bytes memory first = signNode(1, escrow.hashCommitment(one));
        bytes memory second = signNode(1, escrow.hashCommitment(two));
        data = abi.encodeCall(court.equivocation, (ordered, one, first, two, second, rewardedId));
    }
}
