"""Several hosts: a database, a broker and four hosts of Issuance on one network, whose links are cut one at a time,
while the clock of one host is wrong."""
