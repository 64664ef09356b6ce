"""Two versions side by side, under load, while the schema is upgraded and the upgrade is killed again and again."""
