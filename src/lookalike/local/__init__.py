"""Local features on disk, and what finds pictures by them: votes -> candidates."""
