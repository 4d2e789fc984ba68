"""The constants by which checks are priced where an answer is either right or wrong: `verifier/ECONOMICS.md` has why.

A cheat that costs its node nothing loses money, with up to 35 % of the checks drawn to its friends.
"""

DETERRENCE = {
    "honest_cost_ppm": 1_000_000,
    "cheat_cost_ppm": 0,
    "detection_ppm": 1_000_000,
    "collusion_ppm": 350_000,
    "false_alarm_ppm": 0,
}
"""See `contracts.protocol.sampling.Deterrence`."""
