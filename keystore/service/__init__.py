"""The service: requests in, answers out, over the sealed store; it knows no sockets."""
