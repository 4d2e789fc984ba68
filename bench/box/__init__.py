"""What a stranger's machine sees: how much is installed, how long everything takes, how fast the engine is there."""
