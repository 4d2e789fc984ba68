// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {DevToken} from "src/dev/DevToken.sol";
import {IContests} from "src/interfaces/IContests.sol";
import {IJobEscrow} from "src/interfaces/IJobEscrow.sol";
import {ISlashingCourt} from "src/interfaces/ISlashingCourt.sol";
import {IStakeManager} from "src/interfaces/IStakeManager.sol";
import {vm} from "../utils/Vm.sol";

/// @notice What halmos offers beyond the cheatcodes: a storage about which nothing is known.
interface Svm {
    function enableSymbolicStorage(address target) external;
    function createAddress(string calldata name) external returns (address);
    function createUint(uint256 bits, string calldata name) external returns (uint256);
}

Svm constant svm = Svm(address(uint160(uint256(keccak256("svm cheat code")))));

/// @dev halmos reads the file at a path from the root of the project.
interface Artifacts {
    function getCode(string calldata path) external view returns (bytes memory);
}

/// @notice A deployed network with the production constants, for halmos. A `check_` function holds for every value of
/// its arguments that its assumptions leave. What is deployed is compiled as in production.
abstract contract Symbolic {
    uint256 internal constant START = 1_700_000_000;
    uint256 internal constant START_BLOCK = 100;
    uint256 internal constant UNIT = 1e9;
    uint256 internal constant FEE_BPS = 1000;
    uint256 internal constant CHECK_WAIT = 3600;
    uint256 internal constant SETTLE_WAIT = 43_200;
    uint256 internal constant CHARGE_WINDOW = 345_600;
    uint256 internal constant NOTICE = 259_200;
    uint256 internal constant NOTICE_LIFE = 86_400;
    uint256 internal constant UNBOND = 1_209_600;
    uint256 internal constant PAYOUT_DELAY = 172_800;
    uint64 internal constant MIN_VERIFIER_STAKE = 1e12;
    uint256 internal constant COMMIT_WINDOW = 7200;
    uint256 internal constant REVEAL_WINDOW = 7200;
    uint64 internal constant CASE_REWARD = 1e7;
    uint256 internal constant CONTEST_WINDOW = 216_000;
    uint256 internal constant ANSWER_WINDOW = 86_400;
    uint256 internal constant RESOLVE_WINDOW = 43_200;
    uint64 internal constant CONTEST_BOND = 5e7;

    address internal constant SETTLER = address(0x5E771E);
    address internal constant TREASURY = address(0x72EA);
    address internal constant GOVERNOR = address(0x60E);
    address internal constant GUARDIAN = address(0x6A2D);
    address internal constant SINK = address(0x514C);

    error NotCreated(string name);

    DevToken internal token;
    IJobEscrow internal escrow;
    IStakeManager internal stakes;
    ISlashingCourt internal court;
    IContests internal contests;

    function setUp() public virtual {
        vm.warp(START);
        vm.roll(START_BLOCK);
        token = new DevToken();
        // halmos numbers what is created, so each contract can be told where those after it will be.
        address escrowAt = after_(address(token), 1);
        address stakesAt = after_(address(token), 2);
        address courtAt = after_(address(token), 3);
        address contestsAt = after_(address(token), 4);
        escrow = IJobEscrow(create("JobEscrow", abi.encode(escrowParams(stakesAt, courtAt, contestsAt))));
        stakes = IStakeManager(create("StakeManager", abi.encode(stakeParams(escrowAt, courtAt))));
        court = ISlashingCourt(create("SlashingCourt", abi.encode(courtParams(escrowAt, stakesAt))));
        contests = IContests(create("Contests", abi.encode(contestParams(escrowAt, stakesAt))));
    }

    /// @dev From the artifact, so that what is proved is proved of the code that is deployed.
    function create(string memory name, bytes memory arguments) private returns (address created) {
        bytes memory code = Artifacts(address(vm)).getCode(string.concat("out-symbolic/", name, ".sol/", name, ".json"));
        bytes memory creation = abi.encodePacked(code, arguments);
        assembly ("memory-safe") {
            created := create(0, add(creation, 0x20), mload(creation))
        }
        if (created == address(0)) revert NotCreated(name);
    }

    /// @notice The end of the beacon's hash chain.
    function tipOf() internal pure virtual returns (bytes32) {
        return keccak256("tip");
    }

    function after_(address created, uint160 n) private pure returns (address) {
        return address(uint160(created) + n);
    }

    function escrowParams(address stakesAt, address courtAt, address contestsAt)
        private
        view
        returns (IJobEscrow.Params memory)
    {
        return IJobEscrow.Params({
            token: address(token),
            settler: SETTLER,
            treasury: TREASURY,
            stakeManager: stakesAt,
            court: courtAt,
            contests: contestsAt,
            governor: GOVERNOR,
            guardian: GUARDIAN,
            tip: tipOf(),
            unit: UNIT,
            feeBps: FEE_BPS,
            orderTtl: 3600,
            epochMax: 3600,
            seedBlocks: 4,
            checkWait: CHECK_WAIT,
            settleWait: SETTLE_WAIT,
            chargeWindow: CHARGE_WINDOW,
            notice: NOTICE,
            noticeLife: NOTICE_LIFE
        });
    }

    function stakeParams(address escrowAt, address courtAt) private view returns (IStakeManager.Params memory) {
        return IStakeManager.Params({
            token: address(token),
            governor: GOVERNOR,
            escrow: escrowAt,
            court: courtAt,
            sink: SINK,
            unit: UNIT,
            unbond: UNBOND,
            payoutDelay: PAYOUT_DELAY,
            minVerifierStake: MIN_VERIFIER_STAKE
        });
    }

    function courtParams(address escrowAt, address stakesAt) private pure returns (ISlashingCourt.Params memory) {
        return ISlashingCourt.Params({
            escrow: escrowAt,
            stakeManager: stakesAt,
            unit: UNIT,
            caseWindow: 259_200,
            commitWindow: COMMIT_WINDOW,
            revealWindow: REVEAL_WINDOW,
            penaltyMultiple: 9,
            caseReward: CASE_REWARD
        });
    }

    function contestParams(address escrowAt, address stakesAt) private view returns (IContests.Params memory) {
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
}
