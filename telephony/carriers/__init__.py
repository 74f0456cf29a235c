"""Phone networks; one folder a carrier, each behind telephony.carrier."""
