// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {LeafProof, Outcomes} from "src/libraries/Types.sol";
import {Symbolic, svm} from "./Symbolic.sol";
import {vm} from "../utils/Vm.sol";

/// @notice Who is not the role does not succeed with a privileged call, and nobody touches what is another's.
/// Covers: A27, A28.
/// Bounds: none on state (every slot of the contract is unknown), time, caller and plain arguments. A proof has one
/// sibling or none, a bitmap one byte, a packed epoch no rows.
contract AccessProof is Symbolic {
    address private caller;

    function setUp() public override {
        super.setUp();
        svm.enableSymbolicStorage(address(escrow));
        svm.enableSymbolicStorage(address(stakes));
        svm.enableSymbolicStorage(address(court));
        // So that no refusal is for want of money.
        token.mint(address(escrow), type(uint128).max);
        token.mint(address(stakes), type(uint128).max);
        vm.warp(svm.createUint(32, "time"));
        caller = svm.createAddress("caller");
    }

    // ---------------------------------------------------------------- settler

    function check_postEpoch_onlyBySettler(uint64 id, bytes32 root, uint16 count, bytes32 beacon, bytes32 logRoot)
        public
    {
        vm.assume(caller != escrow.settler());
        refused(address(escrow), abi.encodeCall(escrow.postEpoch, (id, root, count, beacon, logRoot)));
    }

    /// @notice Not through a contract either: the settler itself must have signed the transaction. An epoch of no rows,
    /// which is the easiest to settle.
    function check_settleEpoch_onlyBySettlerItself(uint64 id, address origin) public {
        vm.assume(caller != escrow.settler() || origin != caller);
        vm.assume(escrow.epochs(id).count == 0 && escrow.epochs(id).root == 0);
        vm.prank(caller, origin);
        (bool done,) = address(escrow).call(abi.encodeCall(escrow.settleEpoch, (id, hex"0000")));
        assert(!done);
    }

    function check_unbondSettler_onlyBySettler() public {
        vm.assume(caller != escrow.settler());
        refused(address(escrow), abi.encodeCall(escrow.unbondSettler, ()));
    }

    function check_withdrawBond_onlyBySettler() public {
        vm.assume(caller != escrow.settler());
        refused(address(escrow), abi.encodeCall(escrow.withdrawBond, ()));
    }

    // ---------------------------------------------------------------- guardian, governor

    function check_pause_onlyByGuardian() public {
        vm.assume(caller != GUARDIAN);
        refused(address(escrow), abi.encodeCall(escrow.pause, ()));
    }

    function check_unpause_onlyByGuardianOrGovernor() public {
        vm.assume(caller != GUARDIAN && caller != GOVERNOR);
        refused(address(escrow), abi.encodeCall(escrow.unpause, ()));
    }

    function check_setSettler_onlyByGovernor(address newSettler) public {
        vm.assume(caller != GOVERNOR);
        refused(address(escrow), abi.encodeCall(escrow.setSettler, (newSettler)));
    }

    function check_resetBeacon_onlyByGovernor(bytes32 newTip) public {
        vm.assume(caller != GOVERNOR);
        refused(address(escrow), abi.encodeCall(escrow.resetBeacon, (newTip)));
    }

    function check_admitVerifier_onlyByGovernor(uint32 id, address key) public {
        vm.assume(caller != GOVERNOR);
        refused(address(stakes), abi.encodeCall(stakes.admitVerifier, (id, key)));
    }

    function check_retireVerifier_onlyByGovernor(uint32 id) public {
        vm.assume(caller != GOVERNOR);
        refused(address(stakes), abi.encodeCall(stakes.retireVerifier, (id)));
    }

    // ---------------------------------------------------------------- court, contests

    function check_refund_onlyByCourt(LeafProof memory proof, Outcomes memory outcomes, uint64 limitUnits) public {
        vm.assume(caller != address(court));
        vm.assume(escrow.epochs(proof.epochId).count <= 2);
        refused(address(escrow), abi.encodeCall(escrow.refund, (proof, outcomes, limitUnits)));
    }

    function check_refundFromBond_onlyByContests(LeafProof memory proof, Outcomes memory outcomes) public {
        vm.assume(caller != address(contests));
        vm.assume(escrow.epochs(proof.epochId).count <= 2);
        refused(address(escrow), abi.encodeCall(escrow.refundFromBond, (proof, outcomes)));
    }

    function check_lock_onlyByCourt(uint32 id, uint64 units) public {
        vm.assume(caller != address(court));
        refused(address(stakes), abi.encodeCall(stakes.lock, (id, units)));
    }

    function check_unlock_onlyByCourt(uint32 id, uint64 units) public {
        vm.assume(caller != address(court));
        refused(address(stakes), abi.encodeCall(stakes.unlock, (id, units)));
    }

    function check_slash_onlyByCourt(uint32 id, uint64 units, uint64 refundUnits, uint64 rewardUnits) public {
        vm.assume(caller != address(court));
        refused(address(stakes), abi.encodeCall(stakes.slash, (id, units, refundUnits, rewardUnits)));
    }

    function check_lockVerifier_onlyByCourt(address key, uint64 units) public {
        vm.assume(caller != address(court));
        refused(address(stakes), abi.encodeCall(stakes.lockVerifier, (key, units)));
    }

    function check_reward_onlyByCourt(uint32 id, uint64 units) public {
        vm.assume(caller != address(court));
        refused(address(stakes), abi.encodeCall(stakes.reward, (id, units)));
    }

    // ---------------------------------------------------------------- verifiers, the accused

    /// @notice Assumes what `admitVerifier` keeps: an account that nobody registered is no verifier's.
    function check_commitVerdict_onlyByVerifierKey(bytes32 caseId, bytes32 answerCommit) public {
        vm.assume(stakes.verifierOf(caller) == 0 && !stakes.operators(0).isVerifier);
        refused(address(court), abi.encodeCall(court.commitVerdict, (caseId, answerCommit)));
    }

    /// @notice Operator id 0 is nobody's: `operatorOf` says it of every key that is no node's.
    function check_appeal_onlyByTheAccused(LeafProof memory leaf) public {
        vm.assume(stakes.operatorOf(caller) != leaf.operatorId && stakes.ownerOf(leaf.operatorId) != caller);
        refused(address(court), abi.encodeCall(court.appeal, (leaf)));
    }

    // ---------------------------------------------------------------- what is another's

    /// @notice A lane's notice and balance answer to its requester alone.
    function check_lane_untouchedByOthers(address requester, address signer, address other, uint64 units, uint8 which)
        public
    {
        vm.assume(caller != requester);
        bytes32 before = keccak256(abi.encode(escrow.lanes(requester, signer)));
        bytes memory data = abi.encodeCall(escrow.withdraw, (other, units, caller));
        if (which == 0) data = abi.encodeCall(escrow.giveNotice, (other));
        if (which == 1) data = abi.encodeCall(escrow.cancelNotice, (other));
        vm.prank(caller);
        (bool done,) = address(escrow).call(data);
        vm.assume(done);
        assert(keccak256(abi.encode(escrow.lanes(requester, signer))) == before);
    }

    /// @notice An operator's credit goes to its payout address, and into its stake on its owner's word only.
    function check_claimToStake_onlyByOwner(uint32 operatorId) public {
        vm.assume(stakes.ownerOf(operatorId) != caller);
        refused(address(escrow), abi.encodeCall(escrow.claimToStake, (operatorId)));
    }

    /// @notice An account's payout and stake answer to its owner alone. Assumes what `register` keeps: an owner's id
    /// is of the account that names it.
    function check_account_untouchedByOthers(uint32 id, address payout, uint64 units, uint8 which) public {
        vm.assume(stakes.operatorIdOf(caller) != id);
        bytes32 before = keccak256(abi.encode(stakes.operators(id)));
        bytes memory data = abi.encodeCall(stakes.withdrawStake, (payout));
        if (which == 0) data = abi.encodeCall(stakes.setPayout, (payout));
        if (which == 1) data = abi.encodeCall(stakes.unbond, (units));
        vm.prank(caller);
        (bool done,) = address(stakes).call(data);
        vm.assume(done);
        assert(keccak256(abi.encode(stakes.operators(id))) == before);
    }

    /// @notice Covers: A66. A node key is revoked by its account's owner alone. Assumes what `addNodeKey` keeps: a key that
    /// is somebody's is of a registered account.
    function check_revokeNodeKey_onlyByItsOwner(address node) public {
        vm.assume(stakes.operatorIdOf(caller) != stakes.operatorOf(node) || stakes.operatorOf(node) == 0);
        refused(address(stakes), abi.encodeCall(stakes.revokeNodeKey, (node)));
    }

    // ----------------------------------------------------------------

    function refused(address target, bytes memory data) private {
        vm.prank(caller);
        (bool done,) = target.call(data);
        assert(!done);
    }
}
