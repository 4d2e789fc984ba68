"""Those who check: draws the sample that nobody could foresee, re-executes, and says what it computed itself.

Knows the agreement (contracts) and the engines (node_agent.execution), never the backend's code.
"""
