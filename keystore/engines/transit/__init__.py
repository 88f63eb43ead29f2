"""Transit: keys that encrypt, sign and authenticate what others store, and never leave unless they may."""
