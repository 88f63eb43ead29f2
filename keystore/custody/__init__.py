"""Key custody: who keeps a store's root key beside its shares, each by his own means."""
