"""From devices and budgets to subnets, and every subnet on every device."""
