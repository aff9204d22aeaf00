"""Specialised networks, from the libraries of the field, that train on the tasks of this project."""
