"""What Ferry runs on a host beside the payload's services: keystore, gateway, firewall, monitoring."""
