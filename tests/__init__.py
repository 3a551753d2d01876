"""The tests, in the shape of the tree they test; ``support`` holds the real servers that they run against."""
