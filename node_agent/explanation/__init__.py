"""One payment again, from signed inputs: why a node earned, or did not.

Reads the chain, the published log and the node's own journal. What the backend says is held against them, and where it
says otherwise that is named.
"""

from node_agent.explanation.explain import Explainer, Explanation, Sources, Step

__all__ = ["Explainer", "Explanation", "Sources", "Step"]
