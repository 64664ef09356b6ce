"""The restore drill: a database is lost, brought back as it was some time ago, and told again what happened since."""
