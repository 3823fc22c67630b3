"""What turns work into events: process wrapper, environment capture, training gate."""
