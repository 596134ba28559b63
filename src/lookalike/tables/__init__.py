"""What results look like in a terminal, and as plain lines. One file for each kind of result."""
