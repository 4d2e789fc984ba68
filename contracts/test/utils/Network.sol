// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {DevToken} from "src/dev/DevToken.sol";
import {IContests} from "src/interfaces/IContests.sol";
import {IJobEscrow} from "src/interfaces/IJobEscrow.sol";
import {ISlashingCourt} from "src/interfaces/ISlashingCourt.sol";
import {IStakeManager} from "src/interfaces/IStakeManager.sol";
import {TypedData} from "src/libraries/TypedData.sol";
import {CapProof, Lane, Outcomes, Totals} from "src/libraries/Types.sol";
import {EpochBuilder} from "./EpochBuilder.sol";
import {vm} from "./Vm.sol";

/// @notice A deployed network with the development constants, and its people.
abstract contract Network {
    using EpochBuilder for EpochBuilder.Draft;

    uint256 internal constant UNIT = 1e9;
    uint256 internal constant BEACONS = 64;
    uint64 internal constant BOND = 1e15;
    uint64 internal constant STAKE = 1e12;
    uint256 internal constant CHECK_WAIT = 40;
    uint256 internal constant SETTLE_WAIT = 300;
    uint256 internal constant NOTICE = 600;
    uint256 internal constant NOTICE_LIFE = 600;
    uint256 internal constant UNBOND = 1800;
    uint256 internal constant COMMIT_WINDOW = 15;
    uint256 internal constant REVEAL_WINDOW = 10;
    uint64 internal constant CASE_REWARD = 1e4;
    uint64 internal constant MIN_VERIFIER_STAKE = 1e9;
    uint256 internal constant CHARGE_WINDOW = 600;
    uint256 internal constant CONTEST_WINDOW = 420;
    uint256 internal constant ANSWER_WINDOW = 90;
    uint256 internal constant RESOLVE_WINDOW = 90;
    uint64 internal constant CONTEST_BOND = 5e6;

    DevToken internal token;
    IJobEscrow internal escrow;
    IStakeManager internal stakes;
    ISlashingCourt internal court;
    IContests internal contests;

    address internal settler = addressOf("settler");
    address internal treasury = addressOf("treasury");
    address internal governor = addressOf("governor");
    address internal guardian = addressOf("guardian");
    address internal sink = addressOf("sink");
    bytes32[] internal beacons;

    function setUp() public virtual {
        vm.warp(1_700_000_000);
        vm.roll(100);
        token = new DevToken();
        beacons.push(keccak256("beacon"));
        for (uint256 i = 0; i < BEACONS; ++i) {
            beacons.push(keccak256(abi.encode(beacons[i])));
        }
        (escrow, stakes, court, contests) = deploy();
        pay(address(this), BOND);
        token.approve(address(escrow), type(uint256).max);
        escrow.bondSettler(BOND);
    }

    // ---------------------------------------------------------------- deployment

    /// @dev From the artifacts, so that what runs is the deployed code however the tests are compiled.
    function deploy() internal returns (IJobEscrow, IStakeManager, ISlashingCourt, IContests) {
        uint256 nonce = vm.getNonce(address(this));
        address escrowAt = vm.computeCreateAddress(address(this), nonce);
        address stakesAt = vm.computeCreateAddress(address(this), nonce + 1);
        address courtAt = vm.computeCreateAddress(address(this), nonce + 2);
        address contestsAt = vm.computeCreateAddress(address(this), nonce + 3);
        return (
            IJobEscrow(vm.deployCode("JobEscrow.sol", abi.encode(escrowParams(stakesAt, courtAt, contestsAt)))),
            IStakeManager(vm.deployCode("StakeManager.sol", abi.encode(stakeParams(escrowAt, courtAt)))),
            ISlashingCourt(vm.deployCode("SlashingCourt.sol", abi.encode(courtParams(escrowAt, stakesAt)))),
            IContests(vm.deployCode("Contests.sol", abi.encode(contestParams(escrowAt, stakesAt))))
        );
    }

    function escrowParams(address stakesAt, address courtAt, address contestsAt)
        internal
        view
        returns (IJobEscrow.Params memory)
    {
        return IJobEscrow.Params({
            token: address(token),
            settler: settler,
            treasury: treasury,
            stakeManager: stakesAt,
            court: courtAt,
            contests: contestsAt,
            governor: governor,
            guardian: guardian,
            tip: beacons[BEACONS],
            unit: UNIT,
            feeBps: 1000,
            orderTtl: 120,
            epochMax: 60,
            seedBlocks: 2,
            checkWait: CHECK_WAIT,
            settleWait: SETTLE_WAIT,
            chargeWindow: CHARGE_WINDOW,
            notice: NOTICE,
            noticeLife: NOTICE_LIFE
        });
    }

    function stakeParams(address escrowAt, address courtAt) internal view returns (IStakeManager.Params memory) {
        return IStakeManager.Params({
            token: address(token),
            governor: governor,
            escrow: escrowAt,
            court: courtAt,
            sink: sink,
            unit: UNIT,
            unbond: UNBOND,
            payoutDelay: 60,
            minVerifierStake: MIN_VERIFIER_STAKE
        });
    }

    function courtParams(address escrowAt, address stakesAt) internal pure returns (ISlashingCourt.Params memory) {
        return ISlashingCourt.Params({
            escrow: escrowAt,
            stakeManager: stakesAt,
            unit: UNIT,
            caseWindow: 400,
            commitWindow: COMMIT_WINDOW,
            revealWindow: REVEAL_WINDOW,
            penaltyMultiple: 3,
            caseReward: CASE_REWARD
        });
    }

    function contestParams(address escrowAt, address stakesAt) internal view returns (IContests.Params memory) {
        return IContests.Params({
            token: address(token),
            unit: UNIT,
            escrow: escrowAt,
            stakeManager: stakesAt,
            contestWindow: CONTEST_WINDOW,
            answerWindow: ANSWER_WINDOW,
            resolveWindow: RESOLVE_WINDOW,
            contestBond: CONTEST_BOND
        });
    }

    // ---------------------------------------------------------------- people and time

    function keyOf(string memory name) internal pure returns (uint256) {
        return uint256(keccak256(bytes(name))) >> 8;
    }

    function addressOf(string memory name) internal pure returns (address) {
        return vm.addr(keyOf(name));
    }

    function time() internal view returns (uint256) {
        return vm.getBlockTimestamp();
    }

    function pass(uint256 seconds_) internal {
        vm.warp(vm.getBlockTimestamp() + seconds_);
        vm.roll(vm.getBlockNumber() + 1 + seconds_ / 12);
    }

    /// @notice Gives somebody tokens that the contracts may take.
    function pay(address who, uint256 units) internal {
        token.mint(who, units * UNIT);
        vm.startPrank(who);
        token.approve(address(escrow), type(uint256).max);
        token.approve(address(stakes), type(uint256).max);
        token.approve(address(contests), type(uint256).max);
        vm.stopPrank();
    }

    function fund(address requester, address signer, uint64 units) internal {
        pay(requester, units);
        vm.startPrank(requester);
        if (requester == signer) escrow.deposit(requester, signer, units);
        else escrow.openLane(signer, uint32(time() + 1 days), units);
        vm.stopPrank();
    }

    function registerOperator(string memory name, uint64 stakeUnits) internal returns (uint32 id) {
        address owner = addressOf(name);
        vm.prank(owner);
        id = stakes.register(owner);
        if (stakeUnits == 0) return id;
        pay(owner, stakeUnits);
        vm.prank(owner);
        stakes.stake(id, stakeUnits);
    }

    // ---------------------------------------------------------------- signatures

    function signCap(uint256 signerKey, address requester, uint64 cap) internal view returns (CapProof memory) {
        bytes32 termsHash = keccak256(abi.encode("terms", requester, cap));
        bytes32 structHash = TypedData.hashOrder(requester, cap, termsHash);
        bytes32 digest = MessageHashUtils.toTypedDataHash(escrow.domainSeparator(), structHash);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(signerKey, digest);
        return CapProof(cap, termsHash, r, bytes32(uint256(s) | uint256(v - 27) << 255));
    }

    function sign(string memory name, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyOf(name), digest);
        return abi.encodePacked(r, s, v);
    }

    /// @notice The same in two words (EIP-2098).
    function signCompact(string memory name, bytes32 digest) internal pure returns (bytes32 r, bytes32 vs) {
        (uint8 v, bytes32 r_, bytes32 s) = vm.sign(keyOf(name), digest);
        return (r_, bytes32(uint256(s) | uint256(v - 27) << 255));
    }

    // ---------------------------------------------------------------- epochs

    /// @notice One group with one row, paid from the requester's own lane, covered by a cap of exactly its amount.
    function draftOf(string memory requester, uint32 operatorId, uint48 amount)
        internal
        view
        returns (EpochBuilder.Draft memory draft)
    {
        draft.operatorIds = new uint32[](1);
        draft.operatorIds[0] = operatorId;
        draft.groups = new EpochBuilder.Group[](1);
        draft.groups[0] = groupOf(requester, amount);
    }

    function groupOf(string memory requester, uint48 amount) internal view returns (EpochBuilder.Group memory group) {
        group.requester = addressOf(requester);
        group.signer = group.requester;
        uint64 charged = escrow.lanes(group.requester, group.signer).chargedUnits;
        group.capProof = signCap(keyOf(requester), group.requester, charged + amount);
        group.rows = new EpochBuilder.Row[](1);
        group.rows[0] = EpochBuilder.Row(0, amount, keccak256(abi.encode(requester, amount, charged)), false);
    }

    function post(EpochBuilder.Draft memory draft) internal returns (uint64 id) {
        return post(draft.root(), draft.count());
    }

    function post(bytes32 root, uint16 count) internal returns (uint64 id) {
        vm.roll(vm.getBlockNumber() + 3);
        id = escrow.lastEpoch() + 1;
        vm.prank(settler);
        escrow.postEpoch(id, root, count, beacons[BEACONS - id], bytes32(0));
    }

    /// @notice Posts an empty next epoch and waits until the check period of the one before is over.
    function reveal() internal {
        post(bytes32(0), 0);
        pass(CHECK_WAIT);
    }

    function settle(uint64 id, bytes memory packed) internal {
        vm.prank(settler, settler);
        escrow.settleEpoch(id, packed);
    }

    function postAndSettle(EpochBuilder.Draft memory draft) internal returns (uint64 id) {
        id = post(draft);
        reveal();
        settle(id, draft.pack());
    }

    function noOutcomes() internal pure returns (Outcomes memory) {
        return Outcomes("", "");
    }

    function noCap() internal pure returns (CapProof memory) {
        return CapProof(0, 0, 0, 0);
    }

    // ---------------------------------------------------------------- books

    function lane(address requester, address signer) internal view returns (Lane memory) {
        return escrow.lanes(requester, signer);
    }

    /// @notice What the contracts hold is what they owe, to the wei.
    function assertConserved() internal view {
        vm.assertEq(token.balanceOf(address(escrow)), escrow.held(), "escrow holds what it owes");
        vm.assertEq(token.balanceOf(address(stakes)), stakes.held(), "stake manager holds what it owes");
        vm.assertEq(token.balanceOf(address(contests)), contests.held(), "contests hold what they owe");
    }

    function assertTotals(uint64 balances, uint64 credits, uint64 fees) internal view {
        Totals memory totals = escrow.totals();
        vm.assertEq(totals.balancesUnits, balances, "balances");
        vm.assertEq(totals.creditsUnits, credits, "credits");
        vm.assertEq(totals.feesUnits, fees, "fees");
    }
}
