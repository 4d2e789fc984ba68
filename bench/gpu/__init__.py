"""The exact engine on a GPU: the hash that a CPU computes, and its speed beside transformers on the same GPU.

No weights are needed: models are of SmolLM2-135M's shape. Parts: `exactness`, `speed`; `__main__` gathers them.
"""
