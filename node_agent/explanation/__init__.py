from node_agent.explanation.explain import ExplainedStep, Explainer, Explanation, Sources

__all__ = ["ExplainedStep", "Explainer", "Explanation", "Sources"]
