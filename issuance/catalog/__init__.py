"""What a brand sells and promises: membership types, the coupons that credits are made from, and the credit rules."""
