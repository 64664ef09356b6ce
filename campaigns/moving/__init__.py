"""Moving a club to Issuance (docs/moving-to-issuance.md): a made-up club as its biller exports it (`export`), and the
exports as events (`conversion`)."""
