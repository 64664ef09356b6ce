"""Credits that are issued: their codes (`codes`), and how they are read and revoked (`credits`)."""
