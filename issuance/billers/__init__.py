"""Billers plugged in: their webhooks are kept as they come, translated into billing events, and reconciled.

The face of the room: `adapter` is the contract that every biller's adapter keeps, `adapters` has those that there are;
`billers` who is plugged in and their price maps, `deliveries` what they sent, `translation` turns that into facts,
`asking` and `reconciling` ask the biller. What is known of one biller stands in its own folder and nowhere else.
"""
