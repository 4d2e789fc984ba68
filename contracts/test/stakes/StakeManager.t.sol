// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IStakeManager} from "src/interfaces/IStakeManager.sol";
import {Network} from "../utils/Network.sol";
import {vm} from "../utils/Vm.sol";

/// @notice Branches of StakeManager.tree.
contract StakeManagerTest is Network {
    address private owner = addressOf("owner");
    address private node = addressOf("node");
    address private verifierKey = addressOf("verifier key");
    uint32 private id;

    function setUp() public override {
        super.setUp();
        id = registerOperator("owner", STAKE);
    }

    // ---------------------------------------------------------------- accounts and keys

    function test_register_countsFromOneAndOncePerOwner() public {
        vm.assertEq(id, 1);
        vm.assertEq(stakes.ownerOf(1), owner);
        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.StakeManager_AlreadyRegistered.selector, owner, 1));
        stakes.register(owner);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.StakeManager_ZeroPayout.selector));
        stakes.register(address(0));
    }

    function test_setPayout_refusesNobody() public {
        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.StakeManager_ZeroPayout.selector));
        stakes.setPayout(address(0));
    }

    function test_stakeAndAdmission_refuseAnUnknownAccount() public {
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.StakeManager_UnknownId.selector, id + 1));
        stakes.stake(id + 1, 1);
        vm.prank(governor);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.StakeManager_UnknownId.selector, id + 1));
        stakes.admitVerifier(id + 1, verifierKey);
    }

    function test_addNodeKey_takesTheNodesOwnSignature() public {
        addNode();
        vm.assertEq(stakes.operatorOf(node), id);
    }

    /// @notice A key cannot be squatted: it has to sign for the owner that adds it.
    function test_addNodeKey_refusesAnotherSignature() public {
        bytes memory signature = sign("node", stakes.hashNodeKey(addressOf("thief"), node));
        vm.prank(owner);
        vm.expectPartialRevert(IStakeManager.StakeManager_NotSignedByNode.selector);
        stakes.addNodeKey(node, signature);
    }

    function test_addNodeKey_refusesAKeyUsedBefore() public {
        addNode();
        registerOperator("other", 0);
        bytes memory signature = sign("node", stakes.hashNodeKey(addressOf("other"), node));
        vm.prank(addressOf("other"));
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.StakeManager_KeyUsed.selector, node));
        stakes.addNodeKey(node, signature);
        admit();
        vm.prank(governor);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.StakeManager_KeyUsed.selector, node));
        stakes.admitVerifier(2, node);
    }

    /// @notice An account is a node operator's or a verifier's, never both.
    function test_accounts_haveOneKind() public {
        addNode();
        vm.prank(governor);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.StakeManager_IsNodeAccount.selector, id));
        stakes.admitVerifier(id, verifierKey);

        uint32 verifier = admit();
        vm.prank(governor);
        stakes.retireVerifier(verifier);
        vm.prank(addressOf("verifier"));
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.StakeManager_IsVerifierAccount.selector, verifier));
        stakes.addNodeKey(addressOf("another node"), "");
    }

    function test_setPayout_countsAfterTheDelay() public {
        vm.prank(owner);
        stakes.setPayout(addressOf("cold"));
        pass(59);
        vm.assertEq(stakes.payoutOf(id), owner);
        pass(1);
        vm.assertEq(stakes.payoutOf(id), addressOf("cold"));
        vm.prank(owner);
        stakes.setPayout(addressOf("colder"));
        vm.assertEq(stakes.payoutOf(id), addressOf("cold"));
    }

    // ---------------------------------------------------------------- stake

    /// @notice Covers: A10, A11. Stake leaves UNBOND after the last unbonding, never sooner.
    function testFuzz_withdrawStake_onlyAfterUnbond(uint256 waited) public {
        waited %= 2 * UNBOND;
        vm.prank(owner);
        stakes.unbond(STAKE);
        pass(waited);
        if (waited < UNBOND) vm.expectPartialRevert(IStakeManager.StakeManager_StillUnbonding.selector);
        vm.prank(owner);
        stakes.withdrawStake(owner);
        vm.assertEq(token.balanceOf(owner), waited < UNBOND ? 0 : STAKE * UNIT);
        assertConserved();
    }

    /// @notice Covers: A10.
    function test_unbond_restartsTheClockForAll() public {
        vm.startPrank(owner);
        stakes.unbond(STAKE / 2);
        pass(UNBOND - 1);
        stakes.unbond(1);
        pass(1);
        vm.expectPartialRevert(IStakeManager.StakeManager_StillUnbonding.selector);
        stakes.withdrawStake(owner);
        vm.expectPartialRevert(IStakeManager.StakeManager_StakeTooLow.selector);
        stakes.unbond(STAKE);
    }

    /// @notice Covers: A11.
    function test_withdrawStake_leavesWhatIsLocked() public {
        vm.prank(owner);
        stakes.unbond(STAKE - 10);
        vm.prank(address(court));
        stakes.lock(id, 100);
        pass(UNBOND);
        vm.startPrank(owner);
        stakes.withdrawStake(owner);
        vm.assertEq(token.balanceOf(owner), (STAKE - 100) * UNIT);
        vm.expectPartialRevert(IStakeManager.StakeManager_NothingToWithdraw.selector);
        stakes.withdrawStake(owner);
    }

    // ---------------------------------------------------------------- the court's

    /// @notice Covers: A28.
    function test_court_aloneLocksAndSlashes() public {
        bytes memory refusal = abi.encodeWithSelector(IStakeManager.StakeManager_NotCourt.selector, governor);
        vm.startPrank(governor);
        vm.expectRevert(refusal);
        stakes.lock(id, 1);
        vm.expectRevert(refusal);
        stakes.unlock(id, 1);
        vm.expectRevert(refusal);
        stakes.lockVerifier(verifierKey, 1);
        vm.expectRevert(refusal);
        stakes.slash(id, 1, 0, 0);
        vm.expectRevert(refusal);
        stakes.reward(id, 1);
    }

    function test_governor_aloneAdmits() public {
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.StakeManager_NotGovernor.selector, address(this)));
        stakes.admitVerifier(id, verifierKey);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.StakeManager_NotGovernor.selector, address(this)));
        stakes.retireVerifier(id);
    }

    /// @notice Covers: A61. What cases ask for is locked whole, also beyond what is there; as much of it as is there stays.
    function test_lock_takesAllOfItWhateverIsThere() public {
        vm.startPrank(address(court));
        stakes.lock(id, type(uint64).max);
        stakes.lock(id, type(uint64).max);
        uint256 locked = 2 * uint256(type(uint64).max);
        vm.assertEq(stakes.operators(id).lockedUnits, locked);
        vm.assertEq(stakes.slashableOf(id), STAKE);
        stakes.slash(id, 5, 0, 0);
        stakes.unlock(id, type(uint64).max);
        stakes.unlock(id, type(uint64).max - 6);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.StakeManager_NotLocked.selector, id, 1, 2));
        stakes.unlock(id, 2);
        vm.stopPrank();
        vm.prank(owner);
        stakes.unbond(STAKE - 5);
        vm.assertEq(stakes.slashableOf(id), STAKE - 5, "unbonding or not");
        pass(UNBOND);
        vm.prank(owner);
        stakes.withdrawStake(owner);
        vm.assertEq(token.balanceOf(owner), (STAKE - 6) * UNIT, "all but what is locked");
    }

    /// @notice From stake first, then from what is unbonding; never more than was locked. What the court says goes to the
    /// escrow and waits for rewards, the rest for the sink: every unit is somewhere, and the books say where.
    function testFuzz_slash_sharesOut(uint64 unbonding, uint64 units, uint64 refundUnits, uint64 rewardUnits) public {
        unbonding %= STAKE + 1;
        units %= STAKE + 1;
        refundUnits %= units + 1;
        rewardUnits %= units - refundUnits + 1;
        vm.prank(owner);
        stakes.unbond(unbonding);

        vm.startPrank(address(court));
        stakes.lock(id, units);
        stakes.slash(id, units, refundUnits, rewardUnits);
        vm.stopPrank();

        vm.assertEq(token.balanceOf(address(escrow)), (uint256(BOND) + refundUnits) * UNIT, "refund");
        vm.assertEq(stakes.rewardsUnits(), rewardUnits, "rewards");
        vm.assertEq(stakes.sunkUnits(), units - refundUnits - rewardUnits, "sunk");
        IStakeManager.Operator memory slashed = stakes.operators(id);
        vm.assertEq(slashed.stakeUnits + slashed.unbondingUnits, STAKE - units, "stake left");
        vm.assertEq(slashed.stakeUnits, STAKE - unbonding - min(units, STAKE - unbonding), "stake first");
        vm.assertEq(slashed.lockedUnits, 0, "unlocked");
        vm.assertEq(stakes.totalUnits(), STAKE - units, "the total");
        vm.assertEq(stakes.held(), (STAKE - refundUnits) * UNIT, "held");
        vm.assertEq(token.balanceOf(address(stakes)), stakes.held(), "conserved");
    }

    function test_slash_refusesMoreThanIsLocked() public {
        vm.startPrank(address(court));
        stakes.lock(id, 5);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.StakeManager_NotLocked.selector, id, 5, 6));
        stakes.slash(id, 6, 0, 0);
    }

    /// @notice Nor is more given away than is taken.
    function test_slash_refusesToShareMoreThanItTakes() public {
        vm.startPrank(address(court));
        stakes.lock(id, 5);
        vm.expectRevert(abi.encodeWithSignature("Panic(uint256)", 0x11));
        stakes.slash(id, 5, 3, 3);
    }

    /// @notice Rewards are paid out of what slashes left for them, no more, and into what the account has unbonding: its
    /// stake, its clock and its weight stay what they were.
    function testFuzz_reward_paysOutOfWhatIsReserved(uint64 reserved, uint64 units) public {
        reserved %= STAKE + 1;
        units %= STAKE + 1;
        uint32 verifier = admit();
        vm.startPrank(address(court));
        stakes.lock(id, STAKE);
        stakes.slash(id, STAKE, 0, reserved);
        bool covered = units <= reserved;
        if (!covered) vm.expectRevert(abi.encodeWithSignature("Panic(uint256)", 0x11));
        stakes.reward(verifier, units);
        uint64 paid = covered ? units : 0;
        vm.assertEq(stakes.operators(verifier).unbondingUnits, paid);
        vm.assertEq(stakes.operators(verifier).unbondAt, 0);
        vm.assertEq(stakes.stakeOf(verifier), STAKE);
        vm.assertEq(active(verifier), STAKE);
        vm.assertEq(stakes.rewardsUnits(), reserved - paid);
        vm.assertEq(stakes.totalUnits(), STAKE + paid);
        assertConserved();
    }

    /// @notice Anyone has what was sunk paid to the sink; there is nothing else that goes there.
    function test_sweep_paysTheSinkWhatWasSunkAndNothingElse() public {
        vm.startPrank(address(court));
        stakes.lock(id, 100);
        stakes.slash(id, 100, 20, 30);
        vm.stopPrank();
        token.mint(address(stakes), 7);
        vm.prank(addressOf("anyone"));
        stakes.sweep();
        vm.assertEq(token.balanceOf(sink), 50 * UNIT);
        vm.assertEq(stakes.sunkUnits(), 0);
        vm.assertEq(stakes.rewardsUnits(), 30);
        vm.assertEq(stakes.held(), (STAKE - 100 + 30) * UNIT);
        vm.assertEq(stakes.donated(), 7);
        stakes.sweep();
        vm.assertEq(token.balanceOf(sink), 50 * UNIT);
    }

    /// @notice Covers: A34. A sink that the token refuses stops no slash: what it is owed waits.
    function test_slash_survivesASinkThatTheTokenRefuses() public {
        bytes memory transfer = abi.encodeCall(token.transfer, (sink, 5 * UNIT));
        vm.mockCallRevert(address(token), transfer, "blocked");
        vm.startPrank(address(court));
        stakes.lock(id, 5);
        stakes.slash(id, 5, 0, 0);
        vm.stopPrank();
        vm.expectRevert(bytes("blocked"));
        stakes.sweep();
        vm.clearMockedCalls();
        stakes.sweep();
        vm.assertEq(token.balanceOf(sink), 5 * UNIT);
    }

    // ---------------------------------------------------------------- the court's, of verifiers

    /// @notice All of it or nothing: what a verifier cannot stand for, it does not say.
    function testFuzz_lockVerifier_locksAllOfIt(uint64 unbonding, uint64 before, uint64 units) public {
        uint32 verifier = admit();
        unbonding %= STAKE - 1e9 + 1;
        before %= STAKE + 1;
        units %= 2 * STAKE;
        vm.prank(addressOf("verifier"));
        stakes.unbond(unbonding);
        vm.startPrank(address(court));
        stakes.lock(verifier, before);
        uint64 free = STAKE - before; // what is unbonding can be lost too
        if (units > free) {
            vm.expectRevert(
                abi.encodeWithSelector(IStakeManager.StakeManager_TooLittleFree.selector, verifier, free, units)
            );
            stakes.lockVerifier(verifierKey, units);
        } else {
            vm.assertEq(stakes.lockVerifier(verifierKey, units), verifier);
        }
        vm.assertEq(stakes.operators(verifier).lockedUnits, units > free ? before : before + units);
    }

    function test_lockVerifier_refusesWhoIsNotActiveNow() public {
        expectNotActive(addressOf("nobody's"));
        uint32 verifier = admit();
        vm.prank(address(court));
        stakes.lockVerifier(verifierKey, 1);
        vm.prank(addressOf("verifier"));
        stakes.unbond(STAKE - 1e9 + 1);
        expectNotActive(verifierKey);
        pay(address(this), 1);
        stakes.stake(verifier, 1);
        vm.prank(address(court));
        stakes.lockVerifier(verifierKey, 1);
        vm.prank(governor);
        stakes.retireVerifier(verifier);
        expectNotActive(verifierKey);
    }

    function expectNotActive(address key) private {
        vm.prank(address(court));
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.StakeManager_NotActiveVerifier.selector, key));
        stakes.lockVerifier(key, 0);
    }

    // ---------------------------------------------------------------- verifiers

    function test_activeStake_followsAdmissionAndStake() public {
        uint32 verifier = admit();
        vm.assertEq(active(verifier), STAKE);
        vm.prank(addressOf("verifier"));
        stakes.unbond(STAKE - 1e9 + 1);
        vm.assertEq(active(verifier), 0);
        pay(address(this), 1);
        token.approve(address(stakes), type(uint256).max);
        stakes.stake(verifier, 1);
        vm.assertEq(active(verifier), 1e9);
        vm.prank(governor);
        stakes.retireVerifier(verifier);
        vm.assertEq(active(verifier), 0);
    }

    /// @notice What counts is fixed by the block: later changes do not touch it.
    function testFuzz_activeStakeAt_isASnapshot(uint256 seed) public {
        uint32 verifier = admit();
        uint32 second = registerOperator("second", STAKE);
        vm.prank(governor);
        stakes.admitVerifier(second, addressOf("second key"));
        uint256[10] memory blocks;
        uint64[10] memory totals;
        for (uint256 i = 0; i < blocks.length; ++i) {
            uint64 units = uint64(uint256(keccak256(abi.encode(seed, i))) % (STAKE / 4));
            bool first = uint256(keccak256(abi.encode(seed, i, "who"))) % 2 == 0;
            if (stakes.stakeOf(first ? verifier : second) < units) continue;
            vm.prank(addressOf(first ? "verifier" : "second"));
            stakes.unbond(units);
            blocks[i] = vm.getBlockNumber();
            totals[i] = active(verifier) + active(second);
            pass(30);
        }
        for (uint256 i = 0; i < blocks.length; ++i) {
            if (blocks[i] != 0) vm.assertEq(stakes.totalActiveStakeAt(blocks[i]), totals[i]);
        }
    }

    function test_verifierKey_isReplacedByANewAdmission() public {
        uint32 verifier = admit();
        vm.startPrank(governor);
        vm.expectPartialRevert(IStakeManager.StakeManager_WrongVerifierState.selector);
        stakes.admitVerifier(verifier, addressOf("new key"));
        stakes.retireVerifier(verifier);
        vm.assertEq(stakes.verifierOf(verifierKey), verifier);
        vm.expectRevert(abi.encodeWithSelector(IStakeManager.StakeManager_KeyUsed.selector, verifierKey));
        stakes.admitVerifier(verifier, verifierKey);
        stakes.admitVerifier(verifier, addressOf("new key"));
        vm.assertEq(stakes.verifierOf(verifierKey), 0);
        vm.assertEq(stakes.verifierOf(addressOf("new key")), verifier);
        vm.stopPrank();
        expectNotActive(verifierKey);
    }

    /// @notice A key is used once in its life: one that was replaced is nobody's any more, and never anybody's again, as a
    /// verifier's or as a node's.
    function test_verifierKey_onceReplacedIsNeverUsedAgain() public {
        uint32 verifier = admit();
        uint32 second = registerOperator("second", STAKE);
        vm.startPrank(governor);
        stakes.retireVerifier(verifier);
        stakes.admitVerifier(verifier, addressOf("new key"));
        bytes memory refusal = abi.encodeWithSelector(IStakeManager.StakeManager_KeyUsed.selector, verifierKey);
        vm.expectRevert(refusal);
        stakes.admitVerifier(second, verifierKey);
        stakes.retireVerifier(verifier);
        vm.expectRevert(refusal);
        stakes.admitVerifier(verifier, verifierKey);
        vm.stopPrank();
        bytes memory signature = sign("verifier key", stakes.hashNodeKey(owner, verifierKey));
        vm.prank(owner);
        vm.expectRevert(refusal);
        stakes.addNodeKey(verifierKey, signature);
    }

    /// @notice A node's stake is on no checkpoint: it weighs nothing, and costs nothing to keep.
    function test_activeStake_isNeverANodes() public {
        addNode();
        pay(address(this), 5);
        stakes.stake(id, 5);
        vm.prank(owner);
        stakes.unbond(3);
        vm.assertEq(active(id), 0);
        vm.assertEq(stakes.totalActiveStakeAt(vm.getBlockNumber()), 0);
    }

    // ---------------------------------------------------------------- helpers

    function addNode() private {
        bytes memory signature = sign("node", stakes.hashNodeKey(owner, node));
        vm.prank(owner);
        stakes.addNodeKey(node, signature);
    }

    function admit() private returns (uint32 verifier) {
        verifier = registerOperator("verifier", STAKE);
        vm.prank(governor);
        stakes.admitVerifier(verifier, verifierKey);
    }

    function active(uint32 verifier) private view returns (uint64) {
        return stakes.activeStakeAt(verifier, vm.getBlockNumber());
    }

    function min(uint64 a, uint64 b) private pure returns (uint64) {
        return a < b ? a : b;
    }
}
