// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ISlashingCourt} from "src/interfaces/ISlashingCourt.sol";
import {IStakeManager} from "src/interfaces/IStakeManager.sol";
import {TypedData} from "src/libraries/TypedData.sol";
import {Commitment, Order} from "src/libraries/Types.sol";
import {vm} from "../utils/Vm.sol";
import {Executing} from "./Executing.sol";

/// @notice What verifiers do, two honest, one lying, one mostly silent; what the accused do; and who shows two answers.
abstract contract Judging is Executing {
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
        if ((seed >> 192) % 4 == 0) stakeInTheSameBlock(caseBooks[i], (seed >> 200) % VERIFIERS);
        if (!accounts[VERIFIERS + 1].admitted && (seed >> 216) % 2 == 0) {
            vm.roll(vm.getBlockNumber() + 1);
            admit(VERIFIERS - 1); // too late for this case
        }
        for (uint256 k = 1; k < VERIFIERS; ++k) {
            if ((seed >> 136 + 2 * k) & 3 != 0) commitIn(i, (v + k) % VERIFIERS);
        }
        if ((seed >> 144) % 8 != 0) appealIn(i, (seed >> 152) % 4);
        if ((seed >> 168) % 2 == 0) return;
        vm.warp(caseBooks[i].commitEnds);
        for (uint256 k = 0; k < VERIFIERS; ++k) {
            if (caseBooks[i].committed[k] != 0 && (seed >> 176 + 2 * k) & 3 != 0) openAnswer(i, k);
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
        return commitRefusal(v, exposureFor(penaltyFor(leaf)));
    }

    /// @dev A verifier answers if it is active now and has free all that its answer stands for.
    function commitRefusal(uint256 v, uint64 exposure) private returns (bytes4) {
        if (activeStake(v) == 0) {
            hit("verdict.notActive");
            return IStakeManager.StakeManager_NotActiveVerifier.selector;
        }
        Account storage account = accounts[v + 2];
        if (account.stake + account.unbonding - account.locked >= exposure) return 0;
        hit("verdict.tooLittleFree");
        return IStakeManager.StakeManager_TooLittleFree.selector;
    }

    function penaltyFor(LeafBook storage leaf) private view returns (uint64) {
        return PENALTY_MULTIPLE * (leaf.kind & HUGE == 0 ? MAX_PRICE : HUGE_PRICE);
    }

    /// @dev As much as the node may lose, but what every active verifier has at most. (No penalty here is below CASE_REWARD.)
    function exposureFor(uint64 penalty) private pure returns (uint64) {
        return penalty > MIN_VERIFIER_STAKE ? MIN_VERIFIER_STAKE : penalty;
    }

    function noteOpened(uint256 i, LeafBook storage leaf) private {
        CaseBook storage book = caseBooks[i];
        book.commitEnds = uint40(time() + COMMIT_WINDOW);
        noteSnapshot(book);
        Account storage accused = accounts[leaf.account];
        (book.penalty, book.exposure) = (penaltyFor(leaf), exposureFor(penaltyFor(leaf)));
        accused.locked += book.penalty;
        if (accused.locked > accused.stake + accused.unbonding) hit("case.asksForMoreThanIsThere");
        if (book.penalty > MIN_VERIFIER_STAKE) hit("case.exposureOfTheLeastStake");
        openCases.push(i);
        touch(i);
    }

    /// @dev What counts is what is at stake when this move's block ends.
    function noteSnapshot(CaseBook storage book) private {
        book.total = 0;
        for (uint256 v = 0; v < VERIFIERS; ++v) {
            book.active[v] = activeStake(v);
            book.total += book.active[v];
        }
    }

    /// @dev A verifier's stake grows after the opening and in its block: that still counts.
    function stakeInTheSameBlock(CaseBook storage book, uint256 v) private {
        Account storage account = accounts[v + 2];
        if (tokenRefusal(account.owner, address(stakes)) != 0) return;
        attempt(account.owner, address(stakes), abi.encodeCall(stakes.stake, (account.id, 1e6)), 0);
        account.stake += 1e6;
        move(account.owner, address(stakes), 1e6);
        noteSnapshot(book);
        hit("case.stakedInItsBlock");
    }

    function noteCommitted(CaseBook storage book, uint256 v, uint8 said) private {
        book.committed[v] = said + 1;
        accounts[v + 2].locked += book.exposure;
        book.keyAt[v] = accounts[v + 2].keys;
    }

    /// @dev The liar lies, always; the others tell the truth if they say anything.
    function answerBy(uint256 v) private pure returns (uint8) {
        return v == LIAR ? LIE : TRUTH;
    }

    function hidden(LeafBook storage leaf, uint256 v, uint8 said) private view returns (bytes32) {
        return TypedData.answerCommit(traceOf(leaf, said), OUTPUT_ROOT, 40, leaf.digest, verifierKeys[v]);
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
    }

    function verdictRefusal(CaseBook storage book, uint256 v) private returns (bytes4) {
        if (caseStatus(book) != CaseStatus.COMMITTING) {
            hit("verdict.tooLate");
            return ISlashingCourt.SlashingCourt_OutsideWindow.selector;
        }
        bytes4 refusal = commitRefusal(v, book.exposure);
        if (refusal != 0) return refusal;
        if (book.active[v] == 0) {
            hit("verdict.notInSnapshot");
            return ISlashingCourt.SlashingCourt_NotInSnapshot.selector;
        }
        if (book.committed[v] == 0) return 0;
        hit("verdict.again");
        return ISlashingCourt.SlashingCourt_AlreadyCommitted.selector;
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
            court.reveal, (leafOf(i), commitmentOf(leafBooks[i]), traceOf(leafBooks[i], said), OUTPUT_ROOT, 40)
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
        if (!attempt(callers[who], address(court), abi.encodeCall(court.appeal, (leafOf(i))), refusal)) return;
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

    // ---------------------------------------------------------------- two answers to one order

    /// @notice The lying node signed two answers to one order; it is slashed for them once, and nobody is rewarded.
    function equivocation(uint256 seed) external turn {
        seed = mixed(seed);
        uint64 salt = (seed % 4 == 0 && turns > 8) ? uint64(seed % 8) : uint64(1000 + turns);
        uint64 price = (seed >> 8) % 3 == 0 ? priceThatLeaves(uint64((seed >> 16) % MAX_PRICE)) : MAX_PRICE;
        bool forged = (seed >> 80) % 4 == 0;
        (bytes memory data, bytes32 orderId) = twoAnswers(salt, price, forged ? thief : lanes[0].key);
        if (!attempt(anyone, address(court), data, equivocationRefusal(orderId, forged))) return;
        equivocations[orderId] = true;
        uint64 slashed = thereOf(accounts[1], PENALTY_MULTIPLE * price);
        takeStake(accounts[1], slashed);
        sunk += slashed;
        hit("equivocation");
    }

    function equivocationRefusal(bytes32 orderId, bool forged) private returns (bytes4) {
        if (forged) {
            hit("equivocation.notOrdered");
            return ISlashingCourt.SlashingCourt_NotOrdered.selector;
        }
        if (equivocations[orderId]) {
            hit("equivocation.again");
            return ISlashingCourt.SlashingCourt_AlreadySlashed.selector;
        }
        if (accounts[1].stake + accounts[1].unbonding > 0) return 0;
        hit("equivocation.nothingToSlash");
        return ISlashingCourt.SlashingCourt_NothingToSlash.selector;
    }

    /// @dev The order may be a friend's, so its price may be any: here one that leaves so little that a case takes less than
    /// it asks for.
    function priceThatLeaves(uint64 left) private view returns (uint64) {
        uint64 there = accounts[1].stake + accounts[1].unbonding;
        return there > left + MAX_PRICE ? (there - left) / PENALTY_MULTIPLE : MAX_PRICE;
    }

    function twoAnswers(uint64 salt, uint64 price, uint256 signer)
        private
        view
        returns (bytes memory data, bytes32 orderId)
    {
        Order memory ordered;
        (ordered.requester, ordered.terms.maxPrice, ordered.terms.salt) = (lanes[0].requester, price, salt);
        orderId = contests.hashOrder(ordered);
        Commitment memory one = Commitment(orderId, nodes[1], keccak256("one"), 0, 1);
        Commitment memory two = Commitment(orderId, nodes[1], keccak256("two"), 0, 1);
        bytes memory first = signNode(1, contests.hashCommitment(one));
        bytes memory second = signNode(1, contests.hashCommitment(two));
        (bytes32 r, bytes32 vs) = signCompact(signer, orderId);
        data = abi.encodeCall(court.equivocation, (ordered, r, vs, one, first, two, second));
    }
}
