"""The formats of COURT.md: where each number of a model and of its trace lies, how it is written, and its bounds."""
