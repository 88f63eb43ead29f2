"""Pure values: what a recipe asks for, what a lock answers, what a bundle promises."""
