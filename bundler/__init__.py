"""Ferry: carry an AI agent platform across an air gap in one signed bundle."""
