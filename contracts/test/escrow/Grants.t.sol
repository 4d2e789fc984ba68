// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";
import {IJobEscrow} from "src/interfaces/IJobEscrow.sol";
import {EpochBuilder} from "../utils/EpochBuilder.sol";
import {Network} from "../utils/Network.sol";
import {vm} from "../utils/Vm.sol";

/// @notice A contract wallet that says of signatures what it likes at the moment.
contract MoodyWallet is IERC1271 {
    enum Mood {
        AGREES,
        REFUSES,
        REVERTS,
        BURNS_GAS,
        BABBLES
    }

    Mood public mood;

    function become(Mood newMood) external {
        mood = newMood;
    }

    function call(address target, bytes calldata data) external {
        (bool success,) = target.call(data);
        require(success, "call");
    }

    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        if (mood == Mood.REVERTS) revert("not today");
        if (mood == Mood.BURNS_GAS) while (true) {}
        if (mood == Mood.BABBLES) {
            assembly ("memory-safe") {
                return(0, 1000000)
            }
        }
        return mood == Mood.AGREES ? IERC1271.isValidSignature.selector : bytes4(0);
    }
}

/// @notice Branches of JobEscrow.tree on what a requester signs and somebody else brings.
contract GrantsTest is Network {
    using EpochBuilder for EpochBuilder.Draft;

    address private alice = addressOf("alice");
    address private session = addressOf("session");
    address private relayer = addressOf("relayer");
    uint32 private expiry;

    function setUp() public override {
        super.setUp();
        expiry = uint32(time() + 1 days);
        pay(alice, 1000);
    }

    // ---------------------------------------------------------------- openLaneWithGrant

    function test_openLaneWithGrant_opensAndTakesFromTheAllowance() public {
        grant(alice, 50, 0, signGrant(50, 0));
        vm.assertEq(lane(alice, session).balanceUnits, 50);
        vm.assertEq(lane(alice, session).expiry, expiry);
        vm.assertEq(token.balanceOf(alice), 950 * UNIT);
        vm.assertEq(escrow.nonces(alice), 1);
        assertConserved();
    }

    /// @notice Covers: A19. A grant is used once, in its turn.
    function test_openLaneWithGrant_takesEachNonceOnceInTurn() public {
        bytes memory first = signGrant(50, 0);
        bytes memory second = signGrant(60, 1);
        expectNonce(60, 1, second, 0);
        grant(alice, 50, 0, first);
        expectNonce(50, 0, first, 1);
        grant(alice, 60, 1, second);
        vm.assertEq(lane(alice, session).balanceUnits, 110);
    }

    /// @notice Covers: A18, A39. Whoever brings a grant can change nothing in it.
    function test_openLaneWithGrant_refusesAnythingElseThanWasSigned() public {
        bytes memory signature = signGrant(50, 0);
        bytes4 refusal = IJobEscrow.JobEscrow_GrantNotSigned.selector;
        vm.expectPartialRevert(refusal);
        grant(alice, 51, 0, signature);
        vm.expectPartialRevert(refusal);
        grant(relayer, 50, 0, signature);
        vm.expectPartialRevert(refusal);
        escrow.openLaneWithGrant(alice, relayer, 50, expiry, 0, signature);
        vm.expectPartialRevert(refusal);
        escrow.openLaneWithGrant(alice, session, 50, expiry + 1, 0, signature);
        vm.chainId(1);
        vm.expectPartialRevert(refusal);
        grant(alice, 50, 0, signature);
    }

    /// @notice Covers: A30. A grant never takes out of another lane: money under open orders cannot move without notice.
    function test_openLaneWithGrant_neverTakesFromALane() public {
        vm.startPrank(alice);
        escrow.deposit(alice, alice, 1000);
        token.approve(address(escrow), 0);
        vm.stopPrank();
        bytes memory signature = signGrant(50, 0);
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientAllowance.selector);
        grant(alice, 50, 0, signature);
        vm.assertEq(lane(alice, alice).balanceUnits, 1000);
    }

    function test_openLaneWithGrant_refusesWhatOpenLaneRefuses() public {
        expiry = uint32(time());
        bytes memory signature = signGrant(50, 0);
        vm.expectPartialRevert(IJobEscrow.JobEscrow_ExpiryNotAhead.selector);
        grant(alice, 50, 0, signature);
        expiry += 1 days;
        session = alice;
        signature = signGrant(50, 0);
        vm.expectPartialRevert(IJobEscrow.JobEscrow_NotASessionSigner.selector);
        grant(alice, 50, 0, signature);
    }

    /// @notice Covers: A21, A20. No v, r, s whatever opens a lane for the zero address or for somebody who did not sign.
    function testFuzz_openLaneWithGrant_recoversNobody(uint8 v, bytes32 r, bytes32 s, bool high) public {
        bytes memory garbage = abi.encodePacked(r, s, high ? v : v % 40);
        vm.expectPartialRevert(IJobEscrow.JobEscrow_GrantNotSigned.selector);
        grant(address(0), 0, 0, garbage);
        vm.expectPartialRevert(IJobEscrow.JobEscrow_GrantNotSigned.selector);
        grant(alice, 0, 0, garbage);
    }

    /// @notice Covers: A20. The same signature with s and v flipped is no second one.
    function test_openLaneWithGrant_refusesTheOtherFormOfASignature() public {
        uint256 n = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyOf("alice"), escrow.hashLaneGrant(alice, session, 50, expiry, 0));
        vm.expectPartialRevert(IJobEscrow.JobEscrow_GrantNotSigned.selector);
        grant(alice, 50, 0, abi.encodePacked(r, bytes32(n - uint256(s)), v ^ 7));
        grant(alice, 50, 0, abi.encodePacked(r, s, v));
        vm.assertEq(lane(alice, session).balanceUnits, 50);
    }

    // ---------------------------------------------------------------- contract wallets

    /// @notice Covers: A22. A wallet is asked once, when it opens its lane; from then on a key signs, and whatever the
    /// wallet does the epoch settles, its own lane and everybody's.
    function test_contractWallet_isAskedOnceAndCannotHoldUpAnEpoch() public {
        MoodyWallet wallet = fundedWallet();
        grant(address(wallet), 100, 0, "whatever");
        uint32 operator = registerOperator("operator", 0);
        fund(alice, alice, 100);
        for (uint256 mood = 0; mood < 5; ++mood) {
            wallet.become(MoodyWallet.Mood(mood));
            EpochBuilder.Draft memory draft = draftOf("alice", operator, 10);
            EpochBuilder.Group[] memory groups = new EpochBuilder.Group[](2);
            (groups[0], groups[1]) = (draft.groups[0], walletGroup(wallet, 10));
            draft.groups = groups;
            postAndSettle(draft);
            vm.assertEq(lane(address(wallet), session).chargedUnits, 10 * (mood + 1));
            vm.assertEq(lane(alice, alice).chargedUnits, 10 * (mood + 1));
        }
        assertConserved();
    }

    /// @notice Covers: A22. A wallet in a bad mood costs only who relays its grant, and opens nothing.
    function test_contractWallet_thatDoesNotAgreeOpensNothing() public {
        MoodyWallet wallet = fundedWallet();
        for (uint256 mood = 1; mood < 5; ++mood) {
            wallet.become(MoodyWallet.Mood(mood));
            bytes memory call =
                abi.encodeCall(escrow.openLaneWithGrant, (address(wallet), session, 100, expiry, 0, "whatever"));
            (bool success,) = address(escrow).call{gas: 3_000_000}(call);
            vm.assertFalse(success);
        }
        vm.assertEq(lane(address(wallet), session).expiry, 0);
        vm.assertEq(escrow.nonces(address(wallet)), 0);
    }

    function test_contractWallet_opensItsLaneItself() public {
        MoodyWallet wallet = fundedWallet();
        wallet.call(address(escrow), abi.encodeCall(escrow.openLane, (session, expiry, 100)));
        vm.assertEq(lane(address(wallet), session).balanceUnits, 100);
    }

    /// @notice Covers: A23. An account whose key signed on before it gained code (EIP-7702) signs on after it, for grants
    /// and for orders, whatever that code says.
    function test_delegatedAccount_keepsSigning() public {
        uint32 operator = registerOperator("operator", 0);
        fund(alice, alice, 100);
        MoodyWallet code = new MoodyWallet();
        vm.etch(alice, abi.encodePacked(hex"ef0100", address(code)));
        vm.assertTrue(alice.code.length == 23);
        MoodyWallet(alice).become(MoodyWallet.Mood.REVERTS);
        grant(alice, 50, 0, signGrant(50, 0));
        vm.assertEq(lane(alice, session).balanceUnits, 50);
        postAndSettle(draftOf("alice", operator, 30));
        vm.assertEq(lane(alice, alice).chargedUnits, 30);
    }

    // ---------------------------------------------------------------- depositWithAuthorization

    function test_depositWithAuthorization_fundsTheLaneThatWasSigned() public {
        (uint8 v, bytes32 r, bytes32 s) = signAuthorization(alice, 70);
        vm.prank(relayer);
        escrow.depositWithAuthorization(alice, alice, alice, 70, 0, time() + 60, "salt", v, r, s);
        vm.assertEq(lane(alice, alice).balanceUnits, 70);
        vm.assertEq(token.balanceOf(alice), 930 * UNIT);
        assertConserved();

        vm.expectPartialRevert(ERC3009.ERC3009UsedAuthorization.selector);
        escrow.depositWithAuthorization(alice, alice, alice, 70, 0, time() + 60, "salt", v, r, s);
    }

    /// @notice Covers: A39. Neither its relayer nor anybody at the token can send the money to another lane or away.
    function test_depositWithAuthorization_cannotBeRedirectedOrFrontRun() public {
        (uint8 v, bytes32 r, bytes32 s) = signAuthorization(alice, 70);
        uint256 before = time() + 60;
        vm.startPrank(relayer);
        vm.expectRevert(abi.encodeWithSelector(ERC3009.ERC3009InvalidSignature.selector));
        escrow.depositWithAuthorization(alice, relayer, relayer, 70, 0, before, "salt", v, r, s);
        bytes32 nonce = keccak256(abi.encode(alice, alice, bytes32("salt")));
        vm.expectPartialRevert(IERC20Errors.ERC20InvalidReceiver.selector);
        token.receiveWithAuthorization(alice, address(escrow), 70 * UNIT, 0, before, nonce, v, r, s);
        vm.expectRevert(abi.encodeWithSelector(ERC3009.ERC3009InvalidSignature.selector));
        token.transferWithAuthorization(alice, address(escrow), 70 * UNIT, 0, before, nonce, v, r, s);
        vm.stopPrank();
        escrow.depositWithAuthorization(alice, alice, alice, 70, 0, before, "salt", v, r, s);
        vm.assertEq(lane(alice, alice).balanceUnits, 70);
    }

    function test_depositWithAuthorization_refusesALaneThatWasNotOpened() public {
        (uint8 v, bytes32 r, bytes32 s) = signAuthorization(session, 70);
        uint256 before = time() + 60;
        vm.expectRevert(abi.encodeWithSelector(IJobEscrow.JobEscrow_LaneNotOpened.selector, alice, session));
        escrow.depositWithAuthorization(alice, alice, session, 70, 0, before, "salt", v, r, s);
        vm.prank(alice);
        escrow.openLane(session, expiry, 0);
        escrow.depositWithAuthorization(alice, alice, session, 70, 0, before, "salt", v, r, s);
        vm.assertEq(lane(alice, session).balanceUnits, 70);
    }

    // ---------------------------------------------------------------- helpers

    function grant(address requester, uint64 units, uint256 nonce, bytes memory signature) private {
        vm.prank(relayer);
        escrow.openLaneWithGrant(requester, session, units, expiry, nonce, signature);
    }

    function signGrant(uint64 units, uint256 nonce) private view returns (bytes memory) {
        return sign("alice", escrow.hashLaneGrant(alice, session, units, expiry, nonce));
    }

    function expectNonce(uint64 units, uint256 nonce, bytes memory signature, uint256 next) private {
        vm.expectRevert(abi.encodeWithSelector(Nonces.InvalidAccountNonce.selector, alice, next));
        grant(alice, units, nonce, signature);
    }

    function signAuthorization(address signer, uint256 units) private view returns (uint8 v, bytes32 r, bytes32 s) {
        bytes32 typeHash = keccak256(
            "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
        );
        bytes32 nonce = keccak256(abi.encode(alice, signer, bytes32("salt")));
        bytes32 structHash =
            keccak256(abi.encode(typeHash, alice, address(escrow), units * UNIT, 0, time() + 60, nonce));
        return vm.sign(keyOf("alice"), keccak256(abi.encodePacked("\x19\x01", token.DOMAIN_SEPARATOR(), structHash)));
    }

    function fundedWallet() private returns (MoodyWallet wallet) {
        wallet = new MoodyWallet();
        pay(address(wallet), 100);
    }

    function walletGroup(MoodyWallet wallet, uint48 amount) private view returns (EpochBuilder.Group memory group) {
        group.requester = address(wallet);
        group.signer = session;
        uint64 charged = lane(address(wallet), session).chargedUnits;
        group.capProof = signCap(keyOf("session"), address(wallet), charged + amount);
        group.rows = new EpochBuilder.Row[](1);
        group.rows[0] = EpochBuilder.Row(0, amount, keccak256(abi.encode("wallet", charged)), false);
    }
}
