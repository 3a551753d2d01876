"""What the doctor finds, and what an operator reads of it."""
