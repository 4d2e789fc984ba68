"""Breaks the contracts on purpose, one small change at a time, and checks that a test fails.

    python -m contracts.tools.mutation mutants     a seeded sample of small changes over every function
    python -m contracts.tools.mutation defences    each defence in defences.toml removed once

The tests deploy what they test from forge's artifacts, so a mutant needs no build of the tests: many mutants are
compiled in one run of solc, each under a path of its own, and each is tested by putting its creation code into the
artifact. `sources` knows the files, `operators` the changes, `compiler` makes creation codes,
`mutant_tests` runs the tests.
"""
