// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {DevToken} from "src/dev/DevToken.sol";
import {DevWallet} from "src/dev/DevWallet.sol";
import {Network} from "./utils/Network.sol";
import {vm} from "./utils/Vm.sol";

/// @notice The token and the wallet of a development network.
contract DevTest is Network {
    address private owner = addressOf("owner");
    DevWallet private wallet;

    function setUp() public override {
        super.setUp();
        wallet = new DevWallet(owner);
    }

    function test_token_isMintedByItsDeployerOnly() public {
        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSelector(DevToken.DevToken_NotMinter.selector, owner));
        token.mint(owner, 1);
        token.mint(owner, 1);
        vm.assertEq(token.balanceOf(owner), 1);
    }

    function test_wallet_actsForItsOwnerOnly() public {
        token.mint(address(wallet), 5);
        bytes memory transfer = abi.encodeCall(token.transfer, (treasury, 5));
        vm.expectRevert(abi.encodeWithSelector(DevWallet.DevWallet_NotOwner.selector, address(this)));
        wallet.execute(address(token), transfer);
        vm.prank(owner);
        wallet.execute(address(token), transfer);
        vm.assertEq(token.balanceOf(treasury), 5);
    }

    function test_wallet_takesItsOwnersSignatureOnly() public view {
        bytes32 hash = keccak256("message");
        bytes4 yes = IERC1271.isValidSignature.selector;
        vm.assertTrue(wallet.isValidSignature(hash, sign("owner", hash)) == yes);
        vm.assertFalse(wallet.isValidSignature(hash, sign("other", hash)) == yes);
        vm.assertFalse(wallet.isValidSignature(hash, "") == yes);
    }
}
