"""Real servers and databases for the tests, as fixtures: started on first use, ended with the session."""
