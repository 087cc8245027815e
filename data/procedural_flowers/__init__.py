"""The embedded data set: flowers drawn from seeded scenes."""
