"""`assay deploy`: founds a network on any chain, the same every time, and shows anybody that it is the one it says."""
