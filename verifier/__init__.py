"""Draws the sample that nobody could foresee, runs jobs again, and publishes what it computed itself.

Knows the agreement (contracts) and the engines (node_agent.execution), never the backend's code.
"""
