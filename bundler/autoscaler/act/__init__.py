"""What makes a decision true: systemd's units behind haproxy."""
