"""A phone that speaks Twilio's side: for demos, tests and load."""
