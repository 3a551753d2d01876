"""What people see, over a real homeserver, from one end of the way to the other."""
