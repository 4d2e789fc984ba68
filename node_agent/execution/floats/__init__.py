"""The float engines: answers that only one numeric class of hosts repeats bit for bit."""
