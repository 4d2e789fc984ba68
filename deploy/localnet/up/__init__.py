"""`assay up`: a network to play with, kept in a folder."""
