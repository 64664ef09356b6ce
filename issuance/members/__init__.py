"""Members and what they have: their profile, their wallet of points, the offers that they can redeem, their
redemptions, and the sums of all of it (`analytics`)."""
