"""A lane: a requester's balance that one signer may spend (SPEC section 6)."""

from dataclasses import dataclass

from contracts.protocol.constants import Constants


@dataclass(frozen=True)
class Lane:
    """A lane's slot on chain. `balance`, `charged`, `cap_proven` in units, `notice_at` and `expiry` in Unix seconds.

    `notice_at` 0: no notice. `expiry` 0: the requester's own lane, or a lane that was never opened.
    """

    balance: int = 0
    charged: int = 0
    cap_proven: int = 0
    notice_at: int = 0
    expiry: int = 0

    def withdrawable(self, constants: Constants) -> tuple[int, int] | None:
        """The span in which money may be withdrawn, (from, until) in Unix seconds; None without a notice."""
        ripe = self.notice_at + constants.notice_s
        return (ripe, ripe + constants.notice_life_s) if self.notice_at else None

    def is_under_notice(self, now_s: int, constants: Constants) -> bool:
        """Whether a notice was given and has not lapsed."""
        window = self.withdrawable(constants)
        return window is not None and now_s < window[1]
