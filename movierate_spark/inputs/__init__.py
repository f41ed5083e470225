"""What people deliver: three files in one of four formats, and requests to score."""
