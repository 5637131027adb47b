"""Sending: from a call's arguments to the request that carries them."""
