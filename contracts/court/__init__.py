"""The formats of COURT.md: the position, encoding and bounds of each number of a model and of its trace."""
