"""How much was used. The gateway's decision (`metering.decide`) needs no table of its own."""
