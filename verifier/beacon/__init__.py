"""The beacon: a hash chain whose end was published first. Its own process reveals one value per epoch."""
