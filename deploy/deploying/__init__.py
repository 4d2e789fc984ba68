"""`assay deploy`: deploys a network on any chain, the same every time, and checks a deployed one."""
