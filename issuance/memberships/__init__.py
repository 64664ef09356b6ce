"""Memberships as people see them: read (`memberships`), explained credit by credit (`explanations`), forecast
(`forecasts`), and ended when their member is archived (`archiving`)."""
