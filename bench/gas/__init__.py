"""Gas on chain: what a job costs in epochs of several shapes, and what each single act costs. Receipts of real
transactions on Anvil (prague), so intrinsic gas, cold slots, refunds and the calldata floor of EIP-7623 are in them."""
