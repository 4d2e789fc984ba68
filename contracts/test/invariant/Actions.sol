// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IContests} from "src/interfaces/IContests.sol";
import {TypedData} from "src/libraries/TypedData.sol";
import {CapProof, Commitment, EpochStatus, LeafProof, LeafStatus, Order, Outcomes} from "src/libraries/Types.sol";
import {EpochBuilder} from "../utils/EpochBuilder.sol";
import {vm} from "../utils/Vm.sol";
import {Ghost} from "./Ghost.sol";

/// @notice The moves of everybody in the network. A seed picks who and what.
contract Actions is Ghost {
    using EpochBuilder for EpochBuilder.Draft;

    uint256[] private contested; // leaves under contest
    uint256[] private accused; // leaves under a case
    uint32[2] private verifiers;
    uint256 public turns;

    modifier turn() {
        ++turns;
        _;
    }

    function setUp() public override {
        super.setUp();
        for (uint256 i = 0; i < 2; ++i) {
            verifiers[i] = registerOperator(string.concat("owner", vm.toString(i)), STAKE);
            vm.prank(governor);
            stakes.admitVerifier(verifiers[i], verifierKey(i));
        }
        pay(addressOf("operator"), 1e15);
        for (uint256 i = 0; i < 2 * REQUESTERS; ++i) {
            fund(addressOf(requesterName(i)), addressOf(signerName(i)), 1e7);
        }
        pass(12);
    }

    // ---------------------------------------------------------------- requesters, donors

    function fundLane(uint256 seed) external turn {
        (address requester, address signer) = (addressOf(requesterName(seed)), addressOf(signerName(seed)));
        uint64 units = uint64(1 + seed % 1e7);
        uint32 expiry = uint32(time() + 1 hours);
        if (requester == signer) {
            vm.prank(requester);
            escrow.deposit(requester, signer, units);
        } else if (seed % 2 == 0) {
            vm.prank(requester);
            escrow.openLane(signer, expiry, units);
        } else {
            uint256 nonce = escrow.nonces(requester);
            bytes32 digest = escrow.hashLaneGrant(requester, signer, units, expiry, nonce);
            escrow.openLaneWithGrant(requester, signer, units, expiry, nonce, sign(requesterName(seed), digest));
        }
        ++done["fundLane"];
    }

    function withdraw(uint256 seed) external turn {
        (address requester, address signer) = (addressOf(requesterName(seed)), addressOf(signerName(seed)));
        uint256 noticeAt = laneOf(seed).noticeAt;
        vm.startPrank(requester);
        if (noticeAt == 0 || time() >= noticeAt + NOTICE + NOTICE_LIFE) {
            escrow.giveNotice(signer);
        } else if (time() >= noticeAt + NOTICE) {
            escrow.withdraw(signer, laneOf(seed).balanceUnits / 2, requester);
            ++done["withdraw"];
        }
        vm.stopPrank();
    }

    function donate(uint256 seed) external turn {
        address[3] memory contracts = [address(escrow), address(stakes), address(contests)];
        uint256 amount = 1 + seed % 1e12;
        token.mint(contracts[seed % 3], amount);
        donatedWei[contracts[seed % 3]] += amount;
        ++done["donate"];
    }

    // ---------------------------------------------------------------- settler

    function postRows(uint256 seed) external turn {
        if (escrow.settlerBond().unbondAt != 0) return;
        EpochBuilder.Draft memory draft;
        draft.operatorIds = new uint32[](1);
        draft.operatorIds[0] = operator;
        draft.groups = new EpochBuilder.Group[](1 + seed % 3);
        for (uint256 g = 0; g < draft.groups.length; ++g) {
            draft.groups[g] = makeGroup(uint256(keccak256(abi.encode(seed, g))), (seed >> 8) + g);
        }
        remember(postRoot(draft.root(), draft.count()), draft);
        ++done["postRows"];
        if (seed % 3 != 0) return;
        postRoot(bytes32(0), 0);
        settleNext(seed);
    }

    function postNothing() external turn {
        postRoot(bytes32(0), 0);
        ++done["postNothing"];
    }

    /// @notice Settles the oldest epoch that can be, some of its rows void; waits for its check period if it must.
    function settleOldest(uint256 seed) external turn {
        settleNext(seed);
    }

    function settleNext(uint256 seed) private {
        for (uint64 id = 1; id < escrow.lastEpoch(); ++id) {
            if (escrow.epochStatus(id) != EpochStatus.REVEALED || drafts[id].length == 0) continue;
            uint256 checkedAt = escrow.epochs(id + 1).postedAt + CHECK_WAIT;
            if (time() < checkedAt) vm.warp(checkedAt);
            if (escrow.epochStatus(id) == EpochStatus.REVEALED) settleRecord(id, seed);
            return;
        }
    }

    function settleRecord(uint64 id, uint256 seed) private {
        EpochBuilder.Draft memory draft = draftAt(id);
        for (uint256 g = 0; g < draft.groups.length; ++g) {
            draft.groups[g].rows[0].isVoid = (seed >> g) % 8 == 0;
        }
        vm.prank(settler, settler);
        (bool success,) = address(escrow).call(abi.encodeCall(escrow.settleEpoch, (id, draft.pack())));
        if (!success) return; // above the bond; it strands
        drafts[id] = abi.encode(draft);
        uint256 paid = 0;
        uint256 expected = chargedByLanes() - chargedUnits;
        // Which lanes were skipped shows in the outcomes alone: the only bitmap that proves them.
        skippedBits[id] = findSkipped(id, draft);
        for (uint256 i = firstLeaf[id]; i < firstLeaf[id] + draft.count(); ++i) {
            if (statusOf(leaves[i]) != LeafStatus.PAID) continue;
            noteCharge(leaves[i]);
            paid += leaves[i].amountUnits;
        }
        vm.assertEq(paid, expected, "lanes were charged their rows that are neither void nor skipped");
        ++done["settleOldest"];
    }

    /// @dev Tries every set of skipped groups until one hashes to the epoch's outcomes.
    function findSkipped(uint64 id, EpochBuilder.Draft memory draft) private view returns (bytes memory) {
        uint160 outcomes = escrow.epochs(id).outcomes;
        for (uint256 set = 0; set < 1 << draft.groups.length; ++set) {
            bytes memory bits = new bytes((uint256(draft.count()) + 7) / 8);
            for (uint256 g = 0; g < draft.groups.length; ++g) {
                if ((set >> g) & 1 == 0) continue;
                bytes memory group = draft.groupBits(g);
                for (uint256 b = 0; b < bits.length; ++b) {
                    bits[b] |= group[b];
                }
            }
            if (uint160(uint256(keccak256(bytes.concat(draft.voidBits(), bits)))) == outcomes) return bits;
        }
        revert("no set of skipped groups explains the outcomes");
    }

    function bond(uint256 seed) external turn {
        vm.startPrank(settler);
        uint256 unbondAt = escrow.settlerBond().unbondAt;
        if (unbondAt == 0 && seed % 16 == 0) {
            escrow.unbondSettler();
        } else if (unbondAt != 0 && seed % 2 == 0) {
            pass(UNBOND);
            (bool success,) = address(escrow).call(abi.encodeCall(escrow.withdrawBond, ()));
            if (success) ++done["withdrawBond"];
            escrow.bondSettler(success ? SMALL_BOND : 1);
        } else if (unbondAt != 0 || escrow.settlerBond().bondUnits < SMALL_BOND) {
            escrow.bondSettler(SMALL_BOND);
        }
        vm.stopPrank();
        ++done["bond"];
    }

    // ---------------------------------------------------------------- guardian, governor

    /// @notice A pause, an exit during it, its end; and another settler's key.
    function pauseAndRotate(uint256 seed) external turn {
        vm.prank(guardian);
        escrow.pause();
        claimAll(seed);
        vm.prank(seed % 2 == 0 ? guardian : governor);
        escrow.unpause();
        if (seed % 4 == 0) {
            settler = addressOf(string.concat("settler", vm.toString(seed % 8)));
            pay(settler, 1e15);
            vm.prank(governor);
            escrow.setSettler(settler);
        }
        ++done["pauseAndRotate"];
    }

    // ---------------------------------------------------------------- operators

    function settleOne(uint256 seed) external turn {
        if (leaves.length == 0) return;
        for (uint256 k = 0; k < 24; ++k) {
            Leaf storage leaf = leaves[uint256(keccak256(abi.encode(seed, k))) % leaves.length];
            EpochStatus status = escrow.epochStatus(leaf.epochId);
            if (status != EpochStatus.STRANDED && status != EpochStatus.SETTLED) continue;
            if (statusOf(leaf) != LeafStatus.UNCHARGED) continue;
            LeafProof memory proof = proofAt(leaf);
            string memory signer = signerOf(proof);
            uint64 cap = lane(proof.requester, proof.signer).chargedUnits + proof.amountUnits;
            CapProof memory signed = signCap(keyOf(signer), proof.requester, cap);
            bytes memory data = abi.encodeCall(escrow.settleOne, (proof, outcomesAt(leaf.epochId), signed));
            (bool success,) = address(escrow).call(data);
            if (!success) continue; // the lane does not cover it, or the window is full
            noteCharge(leaf);
            ++done["settleOne"];
            return;
        }
    }

    function claim(uint256 seed) external turn {
        if (claimAll(seed)) ++done["claim"];
    }

    function claimAll(uint256 seed) private returns (bool success) {
        vm.prank(addressOf("operator"));
        bytes memory data =
            seed % 2 == 0 ? abi.encodeCall(escrow.claim, (operator)) : abi.encodeCall(escrow.claimToStake, (operator));
        (success,) = address(escrow).call(data);
        if (seed % 3 == 0) escrow.withdrawFees();
    }

    function moveStake(uint256 seed) external turn {
        vm.startPrank(addressOf("operator"));
        uint64 staked = stakes.stakeOf(operator);
        uint256 endsAt = stakes.operators(operator).unbondAt + UNBOND;
        if (seed % 4 == 0 && staked > 0) {
            stakes.unbond(uint64(1 + seed % staked));
        } else if (
            stakes.operators(operator).unbondingUnits > stakes.operators(operator).lockedUnits && time() >= endsAt
        ) {
            stakes.withdrawStake(addressOf("operator"));
            ++done["withdrawStake"];
        } else {
            stakes.stake(operator, uint64(1 + seed % 1e7));
        }
        vm.stopPrank();
        ++done["moveStake"];
    }

    // ---------------------------------------------------------------- contests

    function contest(uint256 seed) external turn {
        seed = uint256(keccak256(abi.encode(seed, turns))); // else three ways to go on are not equally likely
        for (uint256 k = 0; k < 32; ++k) {
            if (k + seed % 4 >= leaves.length) return;
            uint256 i = leaves.length - 1 - (k + seed % 4);
            if (leaves[i].charged == 0 || leaves[i].chargedAt + CONTEST_WINDOW < time()) continue;
            LeafProof memory proof = proofAt(leaves[i]);
            bytes memory data = abi.encodeCall(contests.contest, (proof, outcomesAt(leaves[i].epochId)));
            vm.prank(alice);
            (bool success,) = address(contests).call(data);
            if (!success) continue; // too late, or contested before
            ++done["contest"];
            if (seed % 3 == 0 && tryAnswer(leaves[i], proof)) return;
            if (seed % 3 == 1) resolveLater(leaves[i], proof);
            else contested.push(i);
            return;
        }
    }

    /// @notice Ends a contest: by an answer where there is one to give, else by a refund, else by letting it lapse.
    function endContest(uint256 seed) external turn {
        if (contested.length == 0) return;
        uint256 slot = seed % 3 == 0 ? seed % contested.length : contested.length - 1;
        Leaf storage leaf = leaves[contested[slot]];
        contested[slot] = contested[contested.length - 1];
        contested.pop();
        LeafProof memory proof = proofAt(leaf);
        if (seed % 2 == 0 && tryAnswer(leaf, proof)) return;
        if (contests.contestStatus(proof.epochId, proof.index) != IContests.ContestStatus.OVERDUE) {
            resolveLater(leaf, proof);
            return;
        }
        contests.lapse(proof.epochId, proof.index);
        ++done["lapse"];
    }

    function resolveLater(Leaf storage leaf, LeafProof memory proof) private {
        if (contests.contestStatus(proof.epochId, proof.index) == IContests.ContestStatus.OPEN) pass(ANSWER_WINDOW);
        bool before = statusOf(leaf) == LeafStatus.REFUNDED;
        contests.resolve(proof, outcomesAt(leaf.epochId));
        if (!before) ++leaf.refunded;
        ++done["resolve"];
    }

    function tryAnswer(Leaf memory leaf, LeafProof memory proof) private returns (bool success) {
        Work memory work = workOf(leaf);
        bytes memory signature = sign(signerOf(proof), escrow.hashOrder(work.order));
        bytes memory nodeSignature = sign("node", proof.digest);
        (bytes32 r, bytes32 vs) = compact(signature);
        (success,) = address(contests)
            .call(abi.encodeCall(contests.answer, (proof, work.order, r, vs, work.commitment, nodeSignature, output)));
        vm.assertTrue(leaf.honest || !success, "an over-priced charge was answered");
        if (success) ++done["answer"];
    }

    /// @notice Two charges of one order: the later comes back.
    function refundDuplicate(uint256 seed) external turn {
        uint256 charged = 0;
        for (uint256 k = again.length; k > 0 && charged < 6; --k) {
            Leaf memory later = leaves[again[k - 1]];
            if (later.charged == 0 || later.refunded > 0) continue;
            if (seed % 8 != 0) ++charged;
            for (uint256 i = k - 1; i > 0; --i) {
                Leaf memory earlier = leaves[again[i - 1]];
                if (earlier.charged == 0 || earlier.refunded > 0) continue;
                if (workOf(earlier).commitment.orderId != workOf(later).commitment.orderId) continue;
                if (tryDuplicate(again[i - 1], again[k - 1])) return;
                break;
            }
        }
    }

    function tryDuplicate(uint256 i, uint256 j) private returns (bool success) {
        uint256[2] memory pair = [i, j];
        LeafProof[] memory proofs = new LeafProof[](2);
        Outcomes[] memory outcomes = new Outcomes[](2);
        Commitment[] memory delivered = new Commitment[](2);
        for (uint256 k = 0; k < 2; ++k) {
            proofs[k] = proofAt(leaves[pair[k]]);
            outcomes[k] = outcomesAt(leaves[pair[k]].epochId);
            delivered[k] = workOf(leaves[pair[k]]).commitment;
        }
        Order memory ordered = workOf(leaves[i]).order;
        (success,) =
            address(contests).call(abi.encodeCall(contests.contestDuplicate, (ordered, proofs, outcomes, delivered)));
        if (!success) return false;
        ++done["refundDuplicate"];
        uint256 refunded = statusOf(leaves[i]) == LeafStatus.REFUNDED ? i : j;
        ++leaves[refunded].refunded;
    }

    // ---------------------------------------------------------------- court

    function accuse(uint256 seed) external turn {
        if (leaves.length == 0) return;
        uint256 i = leaves.length - 1 - seed % (leaves.length < 6 ? leaves.length : 6);
        Work memory work = workOf(leaves[i]);
        LeafProof memory proof = proofAt(leaves[i]);
        bytes memory nodeSignature = sign("node", proof.digest);
        bytes memory data = abi.encodeCall(
            court.openCase, (proof, work.order, work.commitment, nodeSignature, hidden(proof.digest, 0))
        );
        vm.prank(verifierKey(0));
        (bool success,) = address(court).call(data);
        if (!success) return; // a case already, too late, or nothing left to lose
        bytes32 caseId = court.caseIdOf(proof.epochId, proof.index);
        bytes32 answer = hidden(proof.digest, 1);
        vm.prank(verifierKey(1));
        court.commitVerdict(caseId, answer);
        accused.push(i);
        ++done["accuse"];
    }

    function rule(uint256 seed) external turn {
        if (accused.length == 0) return;
        uint256 slot = seed % accused.length;
        Leaf storage leaf = leaves[accused[slot]];
        LeafProof memory proof = proofAt(leaf);
        bytes32 caseId = court.caseIdOf(proof.epochId, proof.index);
        uint256 commitEnds = court.cases(caseId).commitEnds;
        if (time() < commitEnds) vm.warp(commitEnds);
        bool openable = time() < commitEnds + REVEAL_WINDOW;
        Commitment memory delivered = workOf(leaf).commitment;
        for (uint256 i = 0; i < 2 && openable && court.votes(caseId, verifiers[i]).answerKey == 0; ++i) {
            vm.prank(verifierKey(i));
            court.reveal(caseId, delivered, keccak256("another trace"), keccak256(output), 40);
        }
        if (time() < commitEnds + REVEAL_WINDOW) vm.warp(commitEnds + REVEAL_WINDOW);
        executeCase(caseId, leaf, proof, slot);
    }

    function executeCase(bytes32 caseId, Leaf storage leaf, LeafProof memory proof, uint256 slot) private {
        bytes memory data = abi.encodeCall(court.execute, (caseId, proof, outcomesAt(leaf.epochId)));
        uint64 before = lane(proof.requester, proof.signer).balanceUnits;
        (bool success,) = address(court).call(data);
        if (!success) return; // the leaf is not final
        if (lane(proof.requester, proof.signer).balanceUnits > before) ++leaf.refunded;
        accused[slot] = accused[accused.length - 1];
        accused.pop();
        ++done["rule"];
    }

    function equivocate(uint256 seed) external turn {
        Order memory ordered = order;
        ordered.terms.salt = uint64(seed);
        bytes32 orderId = escrow.hashOrder(ordered);
        Commitment memory one = Commitment(orderId, node, keccak256("one"), 0, 1);
        Commitment memory two = Commitment(orderId, node, keccak256("two"), 0, 1);
        bytes memory first = sign("node", escrow.hashCommitment(one));
        bytes memory second = sign("node", escrow.hashCommitment(two));
        bytes memory data =
            abi.encodeCall(court.equivocation, (ordered, one, first, two, second, seed % 2 == 0 ? verifiers[0] : 0));
        (bool success,) = address(court).call(data);
        if (success) ++done["equivocate"];
    }

    // ---------------------------------------------------------------- time

    function wait(uint256 seed) external turn {
        pass(seed % 16 == 0 ? NOTICE : 1 + seed % 40);
        ++done["wait"];
    }

    // ---------------------------------------------------------------- what is asked of it

    function chargedByLanes() public view returns (uint256 units) {
        for (uint256 i = 0; i < 2 * REQUESTERS; ++i) {
            units += laneOf(i).chargedUnits;
        }
    }

    function balancesOfLanes() external view returns (uint256 units) {
        for (uint256 i = 0; i < 2 * REQUESTERS; ++i) {
            units += laneOf(i).balanceUnits;
        }
        units += lane(alice, alice).balanceUnits;
    }

    function assertChargedWithinCaps() external view {
        for (uint256 i = 0; i < 2 * REQUESTERS; ++i) {
            vm.assertTrue(laneOf(i).chargedUnits <= laneOf(i).capProvenUnits, "charged above the proven cap");
        }
    }

    function assertStakesAnswerForCases() external view {
        uint256 lockedUnits = 0;
        for (uint256 i = 0; i < accused.length; ++i) {
            Leaf memory leaf = leaves[accused[i]];
            lockedUnits += court.cases(court.caseIdOf(leaf.epochId, leaf.index)).penaltyUnits;
        }
        vm.assertEq(stakes.operators(operator).lockedUnits, lockedUnits, "locked for the open cases");
        uint256 all = 0;
        for (uint32 id = 1; id <= stakes.lastId(); ++id) {
            uint64 units = stakes.operators(id).stakeUnits + stakes.operators(id).unbondingUnits;
            vm.assertTrue(stakes.operators(id).lockedUnits <= units, "what is locked is there");
            all += units;
        }
        vm.assertEq(all, stakes.totalUnits(), "stakes add up");
    }

    function assertBooks() external view {
        vm.assertEq(token.balanceOf(address(escrow)), escrow.held() + donatedWei[address(escrow)], "escrow");
        vm.assertEq(token.balanceOf(address(stakes)), stakes.held() + donatedWei[address(stakes)], "stake manager");
        vm.assertEq(token.balanceOf(address(contests)), contests.held() + donatedWei[address(contests)], "contests");
        vm.assertEq(contests.openContests(), contested.length, "open contests");
        uint256 owed = escrow.operators(operator).earnedUnits - escrow.operators(operator).claimedUnits;
        vm.assertEq(escrow.totals().creditsUnits, owed, "credits");
    }

    function totalBalances() external view returns (uint256) {
        return escrow.totals().balancesUnits;
    }

    function bondUnits() external view returns (uint256) {
        return escrow.settlerBond().bondUnits;
    }

    // ---------------------------------------------------------------- helpers

    function verifierKey(uint256 i) private pure returns (address) {
        return addressOf(string.concat("verifier", vm.toString(i)));
    }

    function hidden(bytes32 digest, uint256 i) private pure returns (bytes32) {
        return
            TypedData.answerCommit(
                keccak256("another trace"), keccak256("what was asked for"), 40, digest, verifierKey(i)
            );
    }

    function signerOf(LeafProof memory proof) private pure returns (string memory) {
        for (uint256 i = 0; i < 2 * REQUESTERS; ++i) {
            if (addressOf(requesterName(i)) == proof.requester && addressOf(signerName(i)) == proof.signer) {
                return signerName(i);
            }
        }
        revert("no such lane");
    }

    function compact(bytes memory signature) private pure returns (bytes32 r, bytes32 vs) {
        assembly ("memory-safe") {
            r := mload(add(signature, 0x20))
            vs := mload(add(signature, 0x40))
        }
        if (signature[64] == 0x1c) vs |= bytes32(uint256(1) << 255);
    }
}
