"""Who the agent is."""
