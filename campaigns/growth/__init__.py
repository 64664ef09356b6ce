"""How much a club grows in a year, by table: a small one lives a year through the product, and is weighed."""
