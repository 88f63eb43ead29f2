"""What a bundle would fetch at run time, found in its bytes."""
