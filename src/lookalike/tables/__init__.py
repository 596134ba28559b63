"""How results look in a terminal, as plain lines and as JSON: a file for each kind of result."""
