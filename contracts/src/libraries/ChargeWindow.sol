// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {SettlerBond} from "./Types.sol";

/// @notice Bounds what is charged in any span of one window by the settler's bond. Charges are summed in buckets of a
/// window's length. Any such span lies in two neighbouring buckets, and two neighbours never exceed the bond.
library ChargeWindow {
    /// @notice Thrown when a charge would raise the two buckets above the settler's bond.
    error ChargeWindow_AboveBond(uint256 spentUnits, uint256 sumUnits, uint256 bondUnits);

    function spend(SettlerBond storage self, uint256 sumUnits, uint256 window) internal {
        SettlerBond memory bond = self;
        roll(bond, window);
        uint256 spent = uint256(bond.spentPreviousUnits) + bond.spentCurrentUnits;
        if (spent + sumUnits > bond.bondUnits) revert ChargeWindow_AboveBond(spent, sumUnits, bond.bondUnits);
        self.bucketStart = bond.bucketStart;
        self.spentPreviousUnits = bond.spentPreviousUnits;
        self.spentCurrentUnits = uint64(bond.spentCurrentUnits + sumUnits);
    }

    /// @notice Takes at most `units` out of the bond for a charge in the window, which counts no longer. Its bucket is
    /// not known: lowering the older one first forgets no charge too early.
    function giveBack(SettlerBond storage self, uint64 units) internal returns (uint64 taken) {
        SettlerBond memory bond = self;
        unchecked {
            taken = units < bond.bondUnits ? units : bond.bondUnits;
            uint64 spent = bond.spentPreviousUnits + bond.spentCurrentUnits;
            spent = spent > taken ? spent - taken : 0;
            uint64 previous = bond.spentPreviousUnits > taken ? bond.spentPreviousUnits - taken : 0;
            self.bondUnits = bond.bondUnits - taken;
            self.spentPreviousUnits = previous;
            self.spentCurrentUnits = spent - previous;
        }
    }

    /// @notice Charges of this bucket and the one before: all of the last window's, and perhaps some older ones.
    function spentUnits(SettlerBond storage self, uint256 window) internal view returns (uint256) {
        SettlerBond memory bond = self;
        roll(bond, window);
        return uint256(bond.spentPreviousUnits) + bond.spentCurrentUnits;
    }

    /// @dev Moves the buckets on to the current time.
    function roll(SettlerBond memory bond, uint256 window) private view {
        if (block.timestamp >= bond.bucketStart + 2 * window) {
            bond.spentPreviousUnits = 0;
            bond.spentCurrentUnits = 0;
            bond.bucketStart = uint32(block.timestamp);
        } else if (block.timestamp >= bond.bucketStart + window) {
            bond.spentPreviousUnits = bond.spentCurrentUnits;
            bond.spentCurrentUnits = 0;
            bond.bucketStart += uint32(window);
        }
    }
}
