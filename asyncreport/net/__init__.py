"""The wire: transport, throttle, tokens, client. Owns every socket of an export."""
