"""The beacon: a hash chain whose end was published first, revealed a value an epoch. A process of its own."""
