"""Who cheats how, with what chance of being caught, and what it earns: ATTACKS A01 to A13, A53, A55 to A57, A60.

`exact_cheats`: nodes that cheat on the exact engine, on real prompts. `economics`: what that comes to over many jobs at
the published rate. `collusion`: verifiers, settlers and beacons that cheat. Each row says how it was measured.
"""
