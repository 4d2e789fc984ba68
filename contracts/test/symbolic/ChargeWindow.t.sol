// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ChargeWindow} from "src/libraries/ChargeWindow.sol";
import {SettlerBond} from "src/libraries/Types.sol";
import {vm} from "../utils/Vm.sol";

/// @notice The bound on a stolen settler key. Covers: A27, A40.
/// Bounds: windows of up to 2^30 seconds and times below 2^32 - 2^31, as long as uint32 holds the end of a bucket; three
/// charges; any bond and any state of the buckets that began before the first.
contract ChargeWindowProof {
    SettlerBond private bond;

    function spend(uint256 sumUnits, uint256 window) external {
        ChargeWindow.spend(bond, sumUnits, window);
    }

    /// @notice Whatever the three charges and their times, within one window they are at most the bond.
    function check_anySpanOfAWindow_isAtMostTheBond(
        SettlerBond memory start,
        uint256 window,
        uint256[3] memory times,
        uint64[3] memory sums
    ) public {
        vm.assume(window > 0 && window <= 1 << 30);
        vm.assume(
            start.bucketStart <= times[0] && times[0] <= times[1] && times[1] <= times[2]
                && times[2] < times[0] + window
        );
        vm.assume(times[2] < 1 << 31);
        bond = start;
        for (uint256 i = 0; i < 3; ++i) {
            vm.warp(times[i]);
            try this.spend(sums[i], window) {}
            catch {
                sums[i] = 0;
            }
        }
        assert(uint256(sums[0]) + sums[1] + sums[2] <= start.bondUnits);
    }

    /// @notice A charge is booked exactly or refused, and the bond and the unbonding are not touched by it.
    function check_spend_isExact(SettlerBond memory start, uint256 window, uint256 time, uint256 sumUnits) public {
        vm.assume(window > 0 && window <= 1 << 30 && start.bucketStart <= time && time < 1 << 31);
        bond = start;
        vm.warp(time);
        uint256 before = ChargeWindow.spentUnits(bond, window);
        try this.spend(sumUnits, window) {
            assert(before + sumUnits <= start.bondUnits && before + sumUnits >= before);
            assert(ChargeWindow.spentUnits(bond, window) == before + sumUnits);
            assert(bond.bondUnits == start.bondUnits && bond.unbondAt == start.unbondAt);
        } catch {
            assert(sumUnits > start.bondUnits || before + sumUnits > start.bondUnits);
        }
    }

    /// @notice A refund takes as much from what counts as from the bond, so that what counts stays covered, in whichever
    /// bucket and whenever it is looked at.
    function check_giveBack_keepsWhatCountsCovered(SettlerBond memory start, uint256 window, uint256 time, uint64 units)
        public
    {
        vm.assume(window > 0 && window <= 1 << 30 && start.bucketStart <= time && time < 1 << 31);
        uint256 before = uint256(start.spentPreviousUnits) + start.spentCurrentUnits;
        vm.assume(before <= start.bondUnits);
        bond = start;
        vm.warp(time);
        uint64 taken = ChargeWindow.giveBack(bond, units);
        uint256 counts = uint256(bond.spentPreviousUnits) + bond.spentCurrentUnits;
        assert(taken == (units < start.bondUnits ? units : start.bondUnits));
        assert(bond.bondUnits == start.bondUnits - taken);
        assert(counts == (before > taken ? before - taken : 0));
        assert(bond.spentCurrentUnits <= start.spentCurrentUnits);
        assert(bond.spentCurrentUnits == start.spentCurrentUnits || bond.spentPreviousUnits == 0);
        assert(bond.bucketStart == start.bucketStart && bond.unbondAt == start.unbondAt);
        assert(counts <= bond.bondUnits && ChargeWindow.spentUnits(bond, window) <= bond.bondUnits);
    }
}
