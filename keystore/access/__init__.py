"""Who may do what: policies, tokens, leases, and the ways to log in."""
