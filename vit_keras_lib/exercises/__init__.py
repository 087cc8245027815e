"""Checks of the course's exercises, one module for each notebook."""
