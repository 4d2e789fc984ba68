// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {SettlerBond} from "./Types.sol";

/// @notice Bounds what is charged in any span of one window by the settler's bond. Two buckets of a window's length:
/// every such span lies in two neighbouring buckets, and two neighbours together never exceed the bond.
library ChargeWindow {
    /// @notice Thrown when a charge would take the two buckets above the settler's bond.
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

    /// @notice Takes at most `units` from the bond for a charge that still counts, which then counts no longer. Of which
    /// bucket it was is not known: the older one is lowered first, so that none is forgotten too early.
    /// @return taken units
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

    /// @notice What was charged in the present bucket and the one before: all of the last window's charges, and perhaps
    /// some of the window's before it.
    function spentUnits(SettlerBond storage self, uint256 window) internal view returns (uint256) {
        SettlerBond memory bond = self;
        roll(bond, window);
        return uint256(bond.spentPreviousUnits) + bond.spentCurrentUnits;
    }

    /// @dev Moves the buckets on to the present.
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
