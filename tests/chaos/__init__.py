"""Processes are killed, and nothing is lost or said twice."""
