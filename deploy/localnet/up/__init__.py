"""`assay up`: a test network, kept in a folder."""
