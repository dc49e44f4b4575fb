"""The formats that a subnet is deployed to, in one table, and running a file of any of them."""
