"""Before a host is changed: `required` refuses an install, `table` lists every check, each with its remedy."""
