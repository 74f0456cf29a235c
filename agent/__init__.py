"""The call: who answers, what is said."""
