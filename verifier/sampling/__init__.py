"""From the chain's past and the published log to which rows are checked, by whom, and whether records hold."""
