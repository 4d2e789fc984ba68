// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Commitment, LeafProof, OperatorCredit, Order} from "src/libraries/Types.sol";
import {IContests} from "src/interfaces/IContests.sol";
import {Symbolic, svm} from "./Symbolic.sol";
import {vm} from "../utils/Vm.sol";

/// @notice Credits and contests come to their end, for everybody, without anybody.
/// Bounds: none on the contracts' state, but for the assumptions that a property names. Time below 2^32 seconds. A
/// leaf is one of up to two, so that a proof has one sibling or none; signature and output are of one byte.
contract ClaimsProof is Symbolic {
    uint256 private time;

    function setUp() public override {
        super.setUp();
        svm.enableSymbolicStorage(address(escrow));
        svm.enableSymbolicStorage(address(stakes));
        svm.enableSymbolicStorage(address(contests));
        time = svm.createUint(32, "time");
        vm.warp(time);
    }

    /// @notice Covers: A15, A29. Whatever is credited is paid to the operator's payout address on anyone's call, all
    /// of it and once. Assumes the books' invariants: the credit is in the totals, the tokens are there.
    function check_claim_isAlwaysThereAndOnlyOnce(address anyone, uint32 operatorId) public {
        OperatorCredit memory credit = escrow.operators(operatorId);
        uint64 owed;
        unchecked {
            owed = credit.earnedUnits - credit.claimedUnits; // both counters wrap
        }
        uint64 credits = escrow.totals().creditsUnits;
        address payout = stakes.payoutOf(operatorId);
        vm.assume(owed > 0 && owed <= credits && payout != address(0) && payout != address(escrow));
        token.mint(address(escrow), owed * UNIT);

        vm.startPrank(anyone);
        (bool done,) = address(escrow).call(abi.encodeCall(escrow.claim, (operatorId)));
        assert(done);
        assert(token.balanceOf(payout) == owed * UNIT && escrow.totals().creditsUnits == credits - owed);
        (done,) = address(escrow).call(abi.encodeCall(escrow.claim, (operatorId)));
        assert(!done);
    }

    /// @notice Covers: A31. A contest that nobody resolved in time gives its bond back, on anyone's call.
    function check_lapse_isAlwaysThereForAnOverdueContest(address anyone, uint64 epochId, uint32 index) public {
        vm.assume(contests.contestStatus(epochId, index) == IContests.ContestStatus.OVERDUE);
        address contester = contests.contests(epochId, index).contester;
        vm.assume(contester != address(0) && contester != address(contests) && contests.openContests() > 0);
        token.mint(address(contests), CONTEST_BOND * UNIT);

        vm.startPrank(anyone);
        (bool done,) = address(contests).call(abi.encodeCall(contests.lapse, (epochId, index)));
        assert(done);
        assert(token.balanceOf(contester) == CONTEST_BOND * UNIT);
        (done,) = address(contests).call(abi.encodeCall(contests.lapse, (epochId, index)));
        assert(!done);
    }

    /// @notice Covers: A25, A55. An answer stands only for a charge of min(maxPrice, fixedPrice + units * unitPrice), as
    /// computed with numbers that have no end.
    function check_answer_onlyForTheFormulasAmount(
        LeafProof memory proof,
        Order memory order,
        bytes32 r,
        bytes32 vs,
        Commitment memory commitment,
        bytes memory signature,
        bytes memory output
    ) public {
        vm.assume(escrow.epochs(proof.epochId).count <= 2);
        token.mint(address(contests), CONTEST_BOND * UNIT);
        bytes memory data = abi.encodeCall(contests.answer, (proof, order, r, vs, commitment, signature, output));
        (bool done,) = address(contests).call(data);
        vm.assume(done);
        uint256 price = uint256(order.terms.unitPrice) * commitment.units + order.terms.fixedPrice;
        assert(proof.amountUnits <= order.terms.maxPrice);
        assert(proof.amountUnits == price || (proof.amountUnits == order.terms.maxPrice && price > proof.amountUnits));
    }
}
