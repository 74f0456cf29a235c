"""Whatever hears and speaks on a call; one folder an engine, each behind agent.duplex."""
